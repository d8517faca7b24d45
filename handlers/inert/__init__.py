"""A pickle read as inert values: its opcodes are followed, nothing that it names is imported or called.

Source -> opcodes -> Machine -> Pickled(value, names)
                        |
        persistent(id)  rebuild(name, args)      the caller's, for what is known to be harmless
"""

from handlers.inert.foreign import Foreign, walk
from handlers.inert.opcodes import BadPickle, Source
from handlers.inert.reading import Pickled, read

__all__ = ["BadPickle", "Foreign", "Pickled", "Source", "read", "walk"]

"""The pickle machine: Python's unpickler on what is plain, inert on the rest, bounded on the hostile."""

import collections
import copyreg
import io
import pickle
import pickletools
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from handlers.inert import BadPickle, Foreign, Source, machine, opcodes, read, walk
from handlers.inert.keys import LONGEST, MOST_COSTLY
from handlers.inert.reading import ACTIONS, Pickled
from tests.corpus import PAYLOADS, Payload, short, text


def parsed(content: bytes, **callbacks: Any) -> Pickled:
    return read(Source(content), **callbacks)


def refusal(content: bytes) -> BadPickle:
    with pytest.raises(BadPickle) as refused:
        parsed(content)
    return refused.value


plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**80), 2**80)
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary()
    | st.sets(st.text()),
    lambda inner: (
        st.lists(inner) | st.dictionaries(st.text() | st.integers(), inner) | st.tuples(inner, inner)
    ),
    max_leaves=20,
)


@settings(max_examples=200, deadline=None)
@given(plain, st.sampled_from([4, 5]))
def test_plain_values_are_read_as_python_reads_them(value: object, protocol: int) -> None:
    found = parsed(pickle.dumps(value, protocol))
    assert found.value == value
    assert found.names == ()
    assert found.unusual == ()


@pytest.mark.parametrize("protocol", range(6))
def test_every_protocol_is_read(protocol: int) -> None:
    value = {"a": [1, -7, 2**70, 0.5, True, None], ("b", "c"): {"d": "é\n'"}, "t": (), "u": (1, 2, 3, 4)}
    assert parsed(pickle.dumps(value, protocol)).value == value


def test_every_opcode_is_followed_or_pushes_its_argument() -> None:
    followed = {opcode.name for opcode in pickletools.opcodes if opcode.name in ACTIONS}
    pushes = {opcode.name for opcode in pickletools.opcodes} - followed
    assert set(ACTIONS) == followed
    assert all(opcode.arg is not None for opcode in pickletools.opcodes if opcode.name in pushes)


def test_the_next_pickle_begins_where_one_ends() -> None:
    content = pickle.dumps("first") + pickle.dumps("second")
    first = parsed(content)
    assert (first.value, read(Source(content, first.end)).value) == ("first", "second")
    with pytest.raises(BadPickle, match="no end"):
        read(Source(content, 0, first.end - 1))


def test_sharing_and_cycles_are_kept() -> None:
    inner: list[Any] = [1]
    inner.append(inner)
    found = parsed(pickle.dumps([inner, inner], 2)).value
    assert found[0] is found[1]
    assert found[0][1] is found[0]


def test_values_of_python_2_are_text_by_utf_8_where_it_is_that() -> None:
    assert parsed(b"U\x02\xc3\xa9.").value == "é"
    bare = parsed(b"U\x01\xe9.")
    assert bare.value == "é"
    assert any("UTF-8" in note for note in bare.unusual)


# Inert records


class Point:
    def __init__(self, x: int) -> None:
        self.x = x


def test_an_object_becomes_its_class_and_state() -> None:
    found = parsed(pickle.dumps(Point(3), 2)).value
    assert (found.name, found.args, found.state) == (f"{__name__}.Point", (), {"x": 3})


def test_what_is_appended_and_set_is_kept_in_order() -> None:
    assert parsed(pickle.dumps(collections.deque([1, 2]), 2)).value.items == [1, 2]
    mapping = parsed(pickle.dumps(collections.defaultdict(list, a=1, b=2), 2)).value
    assert mapping.name == "collections.defaultdict"
    assert mapping.pairs == [("a", 1), ("b", 2)]
    assert mapping.args[0].name in ("builtins.list", "__builtin__.list")
    assert mapping.args[0].args is None


def test_keywords_and_extensions_are_kept() -> None:
    content = b"\x80\x04" + short("m") + short("C") + b"\x93)}" + short("k") + b"K\x01s\x92."
    assert parsed(content).value.args == ({"k": 1},)
    copyreg.add_extension(__name__, "Point", 0x1234)
    try:
        content = pickle.dumps(Point(1), 2)
    finally:
        copyreg.remove_extension(__name__, "Point", 0x1234)
    assert b"\x83\x34\x12" in content
    assert parsed(content).names == (f"copyreg.extension {0x1234}",)


def test_the_callbacks_give_values_and_may_refuse() -> None:
    content = b"\x80\x02(" + text("storage") + text("0") + b"tQcm\nf\nK\x05\x85R\x86."
    found = parsed(
        content,
        persistent=lambda pid: pid[1],
        rebuild=lambda name, args: args[0] + 1 if args else NotImplemented,
    )
    assert found.value == ("0", 6)
    inert = parsed(content).value
    assert (inert[0].args, inert[1].name, inert[1].args) == ((("storage", "0"),), "m.f", (5,))

    def refuse(pid: object) -> object:
        raise BadPickle("no such storage")

    with pytest.raises(BadPickle, match="no such storage"):
        parsed(content, persistent=refuse)


def test_calling_the_result_of_a_call_is_no_call_of_the_callback() -> None:
    asked = []

    def rebuild(name: str, args: tuple[Any, ...] | None) -> Any:
        asked.append((name, args))
        return NotImplemented

    found = parsed(b"\x80\x02cm\nf\n)R)R)R.", rebuild=rebuild).value
    assert asked == [("m.f", None), ("m.f", ())]
    assert found.name == "m.f()"  # and grows no further, however often it is called


@pytest.mark.parametrize("payload", PAYLOADS)
def test_what_would_run_is_named_and_does_not_run(tmp_path: Path, payload: str) -> None:
    build, name = PAYLOADS[payload]
    trace = tmp_path / "executed"
    assert name in parsed(build(str(trace))).names
    assert not trace.exists()


@pytest.mark.parametrize("payload", sorted(set(PAYLOADS) - {"runpy"}))
def test_the_payloads_do_run_where_they_are_let(tmp_path: Path, payload: str) -> None:
    trace = tmp_path / "executed"
    pickle.loads(PAYLOADS[payload][0](str(trace)))
    assert trace.exists()


class Watching(pickle.Unpickler):
    """Python's own unpickler, of which only the names are asked."""

    def __init__(self, content: bytes) -> None:
        super().__init__(io.BytesIO(content))
        self.names: list[str] = []

    def find_class(self, module: str, name: str) -> Any:
        self.names.append(f"{module}.{name}")
        return lambda *args: None


@pytest.mark.parametrize(
    "build", [build for name, (build, _) in PAYLOADS.items() if name not in ("getattr", "setstate", "newobj")]
)
def test_the_names_are_those_that_python_would_import(build: Payload) -> None:
    content = build("/nowhere")
    watching = Watching(content)
    watching.load()
    assert parsed(content).names == tuple(dict.fromkeys(watching.names))


def test_names_that_are_no_text_or_not_ascii_are_recorded_as_such() -> None:
    assert parsed(b"\x80\x04K\x01]\x93.").names == ("<int>.<list>",)
    assert parsed(b"cm\xc3\xa9 x\nf\n.").names == ("mé x.f",)
    assert parsed(b"c\xff\nf\n.").names == ("\\xff.f",)


# Malformed and hostile


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b".",
        b"K",
        b"K\x01",
        b"\xffK\x01.",
        b"0.",
        b"1.",
        b"h\x05.",
        b"\x85.",
        b"K\x01K\x02s.",
        b"(K\x01d.",
        b"}]K\x01s.",
        b"}}K\x01s.",
        b"K\x01)R.",
        b"cm\nf\nK\x01R.",
        b"cm\nf\n]R.",
        b"(o.",
        b"cm\nf",
        b"X\xff\xff\xff\xff.",
        b"\x8e\xff\xff\xff\xff\xff\xff\xff\x7f.",
        b"\x8e\xff\xff\xff\xff\xff\xff\xff\xff.",
        b"\x8b\xff\xff\xff\xff.",
        b"I" + b"9" * 9999 + b"\n.",
        b"Fx\n.",
        b"S'a\n.",
        b"p99999999999\n.",
        b"K\x01p99999999999\n.",
        b"K\x01p-1\n.",
        b"\x80\x04K\x01\x93.",
    ],
)
def test_what_is_malformed_is_refused(content: bytes) -> None:
    refusal(content)


def test_the_names_until_there_are_told() -> None:
    assert refusal(b"\x80\x02cos\nsystem\n0K").names == ("os.system",)
    assert refusal(b"\x80\x02cos\nsystem\n0K\x01)R.").names == ("os.system",)


def test_integers_too_long_to_print_are_inert() -> None:
    found = parsed(b"\x80\x02\x8b" + struct.pack("<i", 4000) + b"\x7f" * 4000 + b".").value
    assert isinstance(found, Foreign)
    assert parsed(pickle.dumps(2**1000, 2)).value == 2**1000


def nested(opcode: bytes, depth: int) -> bytes:
    return b"\x80\x02)" + opcode * depth + b"."


def test_values_nested_without_end_are_walked_and_let_go() -> None:
    depth = 50_000
    found = parsed(nested(b"\x85", depth))
    assert sum(1 for _ in walk(found.value)) == depth + 1
    objects = parsed(b"\x80\x02" + b"cm\nC\n" * depth + b")" + b"\x85R" * depth + b".")
    assert sum(isinstance(value, Foreign) for value in walk(objects.value)) == depth
    del found, objects  # deep trees overflow the stack of those who free them by calling themselves


def test_deep_tuples_are_no_keys() -> None:
    refusal(b"\x80\x02})" + b"\x85" * 100_000 + b"K\x01s.")
    refusal(b"\x80\x02}(" + b"K\x01" * (LONGEST + 1) + b"tK\x01s.")
    assert parsed(pickle.dumps({(1, ("a", 2.5)): 0}, 2)).value == {(1, ("a", 2.5)): 0}


def test_keys_that_could_be_chosen_to_collide_are_few() -> None:
    modulus = (1 << 61) - 1  # hash() of whole numbers is taken by it
    colliding = {number * modulus: 0 for number in range(1, MOST_COSTLY + 1)}
    assert parsed(pickle.dumps(colliding, 2)).value == colliding
    colliding[(MOST_COSTLY + 1) * modulus] = 0
    assert "keys of an unusual kind" in str(refusal(pickle.dumps(colliding, 2)))
    many = dict.fromkeys(range(MOST_COSTLY * 4), 0)
    assert parsed(pickle.dumps(many, 2)).value == many


def test_a_billion_laughs_are_one_walk() -> None:
    content = b"\x80\x02]q\x00" + b"".join(
        b"](" + b"h" + bytes([level]) + b"h" + bytes([level]) + b"eq" + bytes([level + 1])
        for level in range(60)
    )
    found = parsed(content + b".").value
    assert sum(1 for _ in walk(found)) == 61


def test_cycles_through_every_container_end() -> None:
    inner = Foreign("m.C", ())
    loop: list[Any] = [inner, {"k": (inner, {1})}]
    inner.state = {"loop": loop}
    inner.items.append(loop)
    inner.pairs.append((inner, loop))
    assert [value for value in walk(loop) if value is inner] == [inner]
    assert 1 in list(walk(loop))


def test_copying_a_part_again_and_again_is_charged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "MOST_STEPS", 10_000)
    part = b"\x80\x02](" + b"K\x01" * 1000 + b"eq\x00cm\nf\nq\x01"
    parsed(part + b"h\x01h\x00\x85R0" * 5 + b".")
    assert "steps" in str(refusal(part + b"h\x01h\x00\x85R0" * 20 + b"."))
    assert "steps" in str(refusal(b"\x80\x02" + b"K\x010" * 10_000 + b"K\x01."))
    long = b"\x80\x04" + text("m" * 1000) + b"q\x00" + b"h\x00h\x00\x930" * 20 + b"N."
    assert "steps" in str(refusal(long))


def test_a_pickle_is_read_up_to_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    content = pickle.dumps("a" * 2000)
    monkeypatch.setattr(opcodes, "MOST_BYTES", 1000)
    refusal(content)
    monkeypatch.setattr(opcodes, "LONGEST_LINE", 10)
    assert parsed(b"cm\nf\n.").names == ("m.f",)
    refusal(b"c" + b"m" * 20 + b"\nf\n.")


def test_notes_of_what_is_unusual_are_few_and_short() -> None:
    content = (
        b"\x80\x02" + b"".join(b"c" + b"m" * 500 + b"\n%d\n)R]a0" % number for number in range(50)) + b"N."
    )
    notes = parsed(content).unusual
    assert len(notes) == 1  # one deed on names that begin alike
    assert len(notes[0]) < 200


CODES = [opcode.code.encode("latin-1") for opcode in pickletools.opcodes]


@settings(max_examples=400, deadline=None)
@given(st.binary(max_size=60) | st.lists(st.sampled_from([*CODES, b"\x01", b"\n"])).map(b"".join))
def test_any_bytes_are_read_or_refused(content: bytes) -> None:
    try:
        found: object = parsed(content).value
    except BadPickle as bad:
        found = bad
    assert sum(1 for _ in walk(found)) >= 1


def test_lengths_that_lie_take_no_memory() -> None:
    lies: list[Callable[[], bytes]] = [
        lambda: b"\x8d" + struct.pack("<Q", 1 << 40) + b"a.",
        lambda: b"\x96" + struct.pack("<Q", 1 << 40) + b"a.",
        lambda: b"T" + struct.pack("<i", 1 << 30) + b"a.",
        lambda: b"T" + struct.pack("<i", -5) + b"a.",
    ]
    for lie in lies:
        refusal(lie())

"""Operations: the command line, one module a verb. Imports handlers, is never imported by them."""

"""What is printed for each file: JSON as served, and columns that fit the task."""

from __future__ import annotations

import json

import pytest

from scripts.calling.lines import JsonLines, Table
from scripts.calling.refused import Refused
from scripts.calling.scoring import Scored
from scripts.errors import CommandError

CLASSES = (
    b'{"predictions":[{"label":"seven","index":7,"score":5.6982317e-5},{"label":"x","index":1,"score":0}]}'
)


def table(*scored: Scored) -> str:
    lines = Table()
    return (b"".join(map(lines.write, scored)) + lines.end()).decode()


def test_json_is_the_server_s_with_the_file_in_front() -> None:
    line = JsonLines().write(Scored('a "b".jpg', CLASSES))
    assert line == b'{"file":"a \\"b\\".jpg",' + CLASSES[1:] + b"\n"


@pytest.mark.parametrize("answer", [b"[1.0,2.0]", b'{"file":"other"}', b"{}", b"1.5"])
def test_an_answer_that_has_no_room_for_the_file_stands_beside_it(answer: bytes) -> None:
    assert json.loads(JsonLines().write(Scored("a", answer))) == {"file": "a", "answer": json.loads(answer)}


def test_a_refusal_is_the_same_line_every_time() -> None:
    error = Refused("no picture", status=400, code="bad_image", hint="send one", request_id="abc")
    assert json.loads(JsonLines().write(Scored("a", error))) == {
        "file": "a",
        "error": {"code": "bad_image", "message": "no picture", "hint": "send one"},
    }


def test_a_fault_of_the_server_has_its_request_id() -> None:
    error = Refused("failed", status=500, code="internal", request_id="abc")
    assert json.loads(JsonLines().write(Scored("a", error)))["request_id"] == "abc"


def test_a_file_that_cannot_be_read_has_its_line() -> None:
    assert b"can't be read" in JsonLines().write(Scored("a", CommandError("can't be read")))


def test_a_name_that_is_no_utf8_is_printed_anyway() -> None:
    name = b"a\xff.jpg".decode("utf-8", "surrogateescape")
    assert json.loads(JsonLines().write(Scored(name, CLASSES)))["file"] == "a?.jpg"
    assert "a?.jpg" in table(Scored(name, CLASSES))


@pytest.mark.parametrize(
    ("answer", "header", "row"),
    [
        (CLASSES, "label,score", "seven,5.6982317e-5"),
        (b'{"values":[152.30]}', "value", "152.30"),
        (b'{"values":[1,2.5]}', "value_0,value_1", "1,2.5"),
        (b'{"values":[152.3],"names":["progression"]}', "progression", "152.3"),
        (b'{"output":[[1.0,2.0]],"shape":[1,2]}', "output_0,output_1", "1.0,2.0"),
        (b'{"own":[1]}', "answer", '"{""own"": [""1""]}"'),
    ],
)
def test_columns_fit_the_task(answer: bytes, header: str, row: str) -> None:
    assert table(Scored("a", answer)) == f"file,{header},error\na,{row},\n"


def test_a_failed_file_keeps_its_row_and_the_order_wherever_it_stands() -> None:
    error = Refused("no picture", status=400, code="bad_image")
    rows = table(Scored("a", error), Scored("b", CLASSES), Scored("c", error)).splitlines()
    assert rows == [
        "file,label,score,error",
        "a,,,bad_image: no picture",
        "b,seven,5.6982317e-5,",
        "c,,,bad_image: no picture",
    ]


def test_where_all_failed_there_are_no_other_columns() -> None:
    error = Refused("no picture", status=400, code="bad_image")
    assert table(Scored("a", error)) == "file,error\na,bad_image: no picture\n"


def test_a_file_with_many_items_has_a_row_for_each() -> None:
    assert (
        table(Scored("a", b'{"answers":[{"values":[1]},{"values":[2]}]}')) == "file,value,error\na,1,\na,2,\n"
    )


def test_an_answer_with_other_columns_is_told() -> None:
    lines = Table()
    lines.write(Scored("a", b'{"values":[1]}'))
    with pytest.raises(CommandError, match="not the columns value"):
        lines.write(Scored("b", b'{"values":[1,2]}'))

"""config.properties: every line has its reason, and what is derived from it is only what must be."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts import config
from scripts.errors import CommandError
from scripts.places import ROOT

SHIPPED = ROOT / "config.properties"


def test_the_shipped_file_listens_on_loopback_alone() -> None:
    addresses = config.load(SHIPPED).addresses()
    assert {address.host for address in addresses} == {"127.0.0.1"}
    assert [address.port for address in addresses] == [8080, 8081, 8082, 7070, 7071]


def test_every_group_of_lines_in_the_shipped_file_has_its_reason() -> None:
    for group in SHIPPED.read_text(encoding="utf-8").split("\n\n"):
        assert group.startswith("#"), group


def test_a_host_changes_what_callers_reach_and_nothing_else(tmp_path: Path) -> None:
    before = config.load(SHIPPED)
    after = config.effective(before, tmp_path, "0.0.0.0")
    changed = {key for key, value in after.properties.items() if before.properties.get(key) != value}
    assert changed == {"model_store", "inference_address", "grpc_inference_address"}
    assert after.inference.url == "http://127.0.0.1:8080"
    assert after.properties["inference_address"] == "http://0.0.0.0:8080"


def test_what_is_written_reads_back(tmp_path: Path) -> None:
    wanted = config.effective(config.load(SHIPPED), tmp_path, None)
    config.write(wanted, tmp_path / "effective")
    assert config.load(tmp_path / "effective").properties == wanted.properties


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("inference_address=http://127.0.0.1", "inference_address is 'http://127.0.0.1'; must be like"),
        ("inference_address=http://127.0.0.1:web", "must be like"),
        ("grpc_inference_port=many", "grpc_inference_port is 'many'; must be a port number"),
        ("no equals sign", "line 1 is 'no equals sign'; must be KEY=VALUE"),
        ("", "lacks inference_address"),
    ],
)
def test_a_wrong_line_is_told_with_the_remedy(tmp_path: Path, line: str, message: str) -> None:
    path = tmp_path / "config.properties"
    rest = [
        one for one in SHIPPED.read_text().splitlines() if one.partition("=")[0] != line.partition("=")[0]
    ]
    path.write_text("\n".join([line, *rest] if line else [line]), encoding="utf-8")
    with pytest.raises(CommandError) as caught:
        config.load(path).addresses()
    assert message in str(caught.value)


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="can't be read"):
        config.load(tmp_path / "none")

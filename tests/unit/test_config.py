"""config.properties: every line has its reason, and what is derived from it is only what must be."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts import config
from scripts.errors import CommandError
from scripts.places import ROOT

SHIPPED = ROOT / "config.properties"


def test_the_shipped_file_listens_on_loopback_alone() -> None:
    shipped = config.load(SHIPPED)
    addresses = shipped.gateway_addresses() + shipped.addresses()
    assert {address.host for address in addresses} == {"127.0.0.1"}
    assert [address.port for address in addresses] == [8000, 8001, 8080, 8081, 8082, 7070, 7071]


def test_torchserves_own_limit_is_above_the_gateways(tmp_path: Path) -> None:
    shipped = config.load(SHIPPED)
    assert shipped.gateway_limit < int(shipped.properties["max_request_size"])


@pytest.mark.parametrize("limit", ["0", str(2**32), "5000000000"])
def test_a_limit_that_envoy_cant_count_is_told(limit: str) -> None:
    settings = config.given(config.load(SHIPPED), {"gateway_max_request_size": limit})
    with pytest.raises(
        CommandError, match=f"gateway_max_request_size is '{limit}'; must be from 1 to 4294967295"
    ):
        print(settings.gateway_limit)


def test_every_group_of_lines_in_the_shipped_file_has_its_reason() -> None:
    for group in SHIPPED.read_text(encoding="utf-8").split("\n\n"):
        assert group.startswith("#"), group


@pytest.mark.parametrize(
    ("gateway", "keys"),
    [(True, {"gateway_address"}), (False, {"inference_address", "grpc_inference_address"})],
)
def test_a_host_changes_what_callers_reach_and_nothing_else(gateway: bool, keys: set[str]) -> None:
    before = config.load(SHIPPED)
    after = config.opened(before, "0.0.0.0", gateway=gateway)
    changed = {key for key, value in after.properties.items() if before.properties.get(key) != value}
    assert changed == keys
    reached = after.gateway if gateway else after.inference
    assert (reached.host, reached.url) == ("0.0.0.0", f"http://127.0.0.1:{8000 if gateway else 8080}")


def test_torchserve_gets_its_own_lines_the_stores_place_and_our_metrics(tmp_path: Path) -> None:
    before = config.load(SHIPPED).properties
    after = config.effective(config.load(SHIPPED), tmp_path).properties
    assert after == {k: v for k, v in before.items() if not k.startswith("gateway_")} | {
        "model_store": str(tmp_path),
        "metrics_config": str(ROOT / "monitoring" / "torchserve-metrics.yaml"),
    }
    assert Path(after["metrics_config"]).is_file()


def test_a_metrics_file_of_ones_own_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "config.properties"
    path.write_text(
        SHIPPED.read_text(encoding="utf-8") + "metrics_config=/etc/metrics.yaml\n", encoding="utf-8"
    )
    after = config.effective(config.load(path), tmp_path)
    assert after.properties["metrics_config"] == "/etc/metrics.yaml"


def test_what_is_written_reads_back(tmp_path: Path) -> None:
    wanted = config.effective(config.load(SHIPPED), tmp_path)
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


def test_files_are_found_from_the_configurations_folder_and_options_from_where_we_are(tmp_path: Path) -> None:
    path = tmp_path / "config.properties"
    text = SHIPPED.read_text(encoding="utf-8").replace("gateway_keys=", "gateway_keys=keys.yaml")
    path.write_text(text, encoding="utf-8")
    settings = config.load(path)
    assert settings.gateway_keys == tmp_path / "keys.yaml"
    over = config.given(settings, {"gateway_keys": Path("others.yaml"), "gateway_tls_key": None})
    assert over.gateway_keys == Path.cwd() / "others.yaml"
    assert over.gateway_certificate is None
    assert config.load(SHIPPED).gateway_keys is None


def test_a_certificate_makes_the_gateway_speak_tls_and_nothing_else() -> None:
    pair = {"gateway_tls_certificate": Path("/c.pem"), "gateway_tls_key": Path("/k.pem")}
    secured = config.given(config.load(SHIPPED), pair)
    assert secured.gateway.url == "https://127.0.0.1:8000"
    assert config.opened(secured, "::", gateway=True).gateway.url == "https://[::1]:8000"
    assert secured.gateway_metrics.url.startswith("http://")
    assert "gateway_tls_key" not in config.effective(secured, Path()).properties


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"gateway_tls_certificate": "c"}, "gateway_tls_key is ''; give both certificate and key"),
        ({"gateway_tls_key": "k"}, "gateway_tls_certificate is ''; give both certificate and key"),
        ({"gateway_tls_client_ca": "a"}, "gateway_tls_certificate is ''; gateway_tls_client_ca needs"),
        ({"gateway_tracing": "127.0.0.1:4318"}, "gateway_tracing is '127.0.0.1:4318'; must be like http://"),
        ({"gateway_tracing": "https://host:4318"}, "must be like http://127.0.0.1:4318"),
        ({"gateway_tracing": "http://host:4318/v1/traces"}, "must be like http://127.0.0.1:4318"),
        ({"gateway_tracing": "http://host"}, "gateway_tracing is 'http://host'; must be like"),
    ],
)
def test_what_doesnt_go_together_is_told(given: dict[str, str], message: str) -> None:
    settings = config.given(config.load(SHIPPED), given)
    with pytest.raises(CommandError) as caught:
        print(settings.gateway, settings.gateway_tracing)
    assert message in str(caught.value)


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="can't be read"):
        config.load(tmp_path / "none")

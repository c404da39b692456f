from __future__ import annotations

from cbdata.config import config_schema
from cbdata.config_table import config_table
from cbdata.paths import CONFIG_README


def test_readme_holds_the_table_of_the_schema() -> None:
    assert CONFIG_README.read_text(encoding="utf-8").endswith(config_table()), (
        "config/README.md is out of date: make config-table"
    )


def test_every_key_has_a_row() -> None:
    table = config_table()
    assert table.count("\n") == 2 + len(config_schema()["properties"])
    assert "| `temperature_ds` | TEMPERATURE_DS | number | `0.7` |" in table

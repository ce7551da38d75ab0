import sys

import pytest

from facemargin.errors import ConfigError
from facemargin.extras import require_extra


def test_what_is_there_is_silent(capsys):
    require_extra("parquet", "json", "csv", what="reading")
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("missing", ["json", "csv"])
def test_any_missing_package_names_them_all_and_how_they_come(missing, monkeypatch):
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(ConfigError, match=r'^drawing needs json and csv: pip install "facemargin\[faces\]"$'):
        require_extra("faces", "json", "csv", what="drawing")

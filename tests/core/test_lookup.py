"""Registries suggest what was meant."""

import collections

import pytest

from insightedit.core.errors import ConfigError, UnknownName
from insightedit.core.lookup import pick, suggest

TABLE = {"ordered": "collections:OrderedDict", "counter": "collections:Counter", "broken": "no.such.module:Thing"}


def test_a_name_gives_what_the_table_says():
    assert pick(TABLE, "counter", "mapping") is collections.Counter


def test_a_near_miss_is_suggested_with_all_that_is_known():
    with pytest.raises(UnknownName) as caught:
        pick(TABLE, "countr", "mapping")
    assert "no mapping 'countr'" in str(caught.value)
    assert "Did you mean 'counter'? Known: broken, counter, ordered" in str(caught.value)
    assert isinstance(caught.value, ConfigError)


def test_a_far_miss_is_not_guessed_at():
    assert suggest("xyzzy", TABLE) == "Known: broken, counter, ordered"


def test_nothing_is_imported_before_it_is_asked_for():
    with pytest.raises(ModuleNotFoundError):
        pick(TABLE, "broken", "mapping")

"""Errors say what, why and the mend, also from another process."""

import pickle

import pytest

from insightedit.core import errors
from insightedit.core.errors import ConfigError, InsightEditError, Unfit

KINDS = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, InsightEditError)]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_errors_survive_the_way_from_a_worker(kind):
    error = pickle.loads(pickle.dumps(kind("cannot read a.json", "it is empty", "Write something")))  # noqa: S301 - our own bytes
    assert type(error) is kind
    assert (error.what, error.why, error.mend) == ("cannot read a.json", "it is empty", "Write something")
    assert str(error) == "cannot read a.json: it is empty. Write something"


def test_unfit_survives_the_way_from_a_worker_and_says_all_it_knows():
    error = pickle.loads(pickle.dumps(Unfit("too_small", "3 x 3", "200 px")))  # noqa: S301 - our own bytes
    assert (error.reason, error.seen, error.wanted) == ("too_small", "3 x 3", "200 px")
    assert all(part in str(error) for part in ("too_small", "3 x 3", "200 px"))


def test_a_users_mistake_exits_differently_from_a_failure():
    assert (ConfigError.exit_code, InsightEditError.exit_code) == (2, 1)

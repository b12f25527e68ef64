"""Generated requests to every operation: no server error, and only what the document promises."""

import contextvars
import warnings

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings

from app.services import accounts
from tests.factories import make_attack, make_defence, make_match, make_reference_result, make_upload

with warnings.catch_warnings():
    # Its own dependencies warn while they are imported.
    warnings.simplefilter("ignore")
    import schemathesis
    from schemathesis.checks import not_a_server_error
    from schemathesis.specs.openapi.checks import (
        content_type_conformance,
        response_schema_conformance,
        status_code_conformance,
    )

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
EXAMPLES = 4
KNOWN = {
    "identity": 1,
    "number": 1,
    "change_id": 1,
    "username": "bob",
    "slug": "fingerprinting",
    "adversary": "random-forest",
    "name": "teams",
}


@pytest.fixture
def played(players, attack_round):
    """Something behind every id 1."""
    red, blue, *_ = players
    defence = make_defence(red, attack_round)
    make_reference_result(defence)
    make_defence(blue, attack_round)
    make_upload(blue, attack_round, "attack", "rejected", reasons=[{"rule": "r", "where": "", "fix": "", "count": 1}])
    make_attack(make_match(attack_round, red, blue))
    return attack_round


def check_everything(app, headers):
    document = schemathesis.openapi.from_wsgi("/openapi.json", app)
    assert len(list(document.get_all_operations())) > 50
    for found in document.get_all_operations():
        operation = found.ok()
        if operation.label == "DELETE /api/tokens/{identity}":
            # The one operation that would end the run's own token.
            continue

        @seed(1)
        @settings(
            max_examples=EXAMPLES,
            deadline=None,
            database=None,
            phases=[Phase.explicit, Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy())
        def ask(case):
            # A drawn id is hardly ever one that is there.
            case.path_parameters |= {name: KNOWN[name] for name in set(case.path_parameters or ()) & KNOWN.keys()}
            response = case.call(headers=headers)
            case.validate_response(response, checks=CHECKS)

        ask()


# The generated client does not close files that it is sent.
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
class TestGeneratedRequests:
    @pytest.mark.parametrize("name", ["alice", "ada"])
    def test_no_operation_breaks_or_answers_what_it_does_not_promise(self, app, played, bearer, name):
        headers = bearer(accounts.named(name))
        # A context of its own, as a server has it: the test's must not leak into the requests.
        contextvars.Context().run(check_everything, app, headers)

"""moto's server as the tests need it: one request at a time, and with the rights of roles where there are any.

moto takes a transaction back by putting an old copy of the whole table in place, and so takes back what others have
written meanwhile.

With --role NAME=ACTION,ACTION it has that role, looks at signatures, and refuses what no policy allows, as services that
speak JSON do. Those that speak another protocol are open: STS is asked for a session by those who have none.
"""

import json
import sys
import threading

import moto.server
from moto import settings
from moto.core.authorization import ActionAuthenticatorMixin
from moto.core.exceptions import JsonRESTError
from moto.iam.access_control import IAMRequest
from moto.iam.models import iam_backends

ACCOUNT = "123456789012"


class OneAtATime(moto.server.DomainDispatcherApplication):
    """The application, with one thread in it at a time."""

    turn = threading.Lock()

    def __call__(self, environ, start_response):
        with self.turn:
            return super().__call__(environ, start_response)


def deny(request):
    action = request._action
    raise JsonRESTError(
        "AccessDeniedException",
        f"User: {request._access_key.arn} is not authorized to perform: {action} because no identity-based policy "
        f"allows the {action} action",
    )


def disown(request, reason):
    raise JsonRESTError("UnrecognizedClientException", "The security token included in the request is invalid.")


def add(role):
    name, actions = role.split("=")
    backend = iam_backends[ACCOUNT]["aws"]
    backend.create_role(name, '{"Version": "2012-10-17", "Statement": []}', "/", None, "", {}, 3600)
    statement = {"Effect": "Allow", "Action": actions.split(","), "Resource": "*"}
    if actions:
        backend.put_role_policy(name, "rights", json.dumps({"Version": "2012-10-17", "Statement": [statement]}))


def main():
    arguments = sys.argv[1:]
    while "--role" in arguments:
        at = arguments.index("--role")
        add(arguments[at + 1])
        del arguments[at : at + 2]
        settings.INITIAL_NO_AUTH_ACTION_COUNT = 0
    # The header that tells the operation, which other protocols do not have.
    ActionAuthenticatorMixin.PUBLIC_OPERATIONS.append(None)
    IAMRequest._raise_access_denied = deny
    IAMRequest._raise_invalid_access_key = disown
    moto.server.DomainDispatcherApplication = OneAtATime
    moto.server.main(arguments)


main()

"""What passes by itself and what is a verdict: of a call's answer, and of a run's end. A test holds every line.

What passes is asked again, or tried again; a verdict sticks, and whoever gave it (Databricks, or a person there) is
quoted.
"""

from collections.abc import Mapping

PASSING_ANSWERS: Mapping[int, str] = {
    408: "the server gave up waiting for the request",
    429: "too many requests at once",
    500: "an error inside Databricks",
    502: "something between here and Databricks had no answer",
    503: "Databricks cannot answer for now",
    504: "something between here and Databricks waited in vain",
}
"""HTTP statuses after which the same call may succeed. All others are final, among them 409 (there is one already),
413 (too large), 501 (there is no such thing) and 507 (no room): they would be answered the same for as long as nobody
does something about it."""

PASSING_ENDS: Mapping[str, str] = {
    "INTERNAL_ERROR": "an error inside Databricks",
    "DRIVER_ERROR": "the cluster's driver was lost",
    "CLUSTER_ERROR": "the cluster failed",
    "CLUSTER_TERMINATED_BY_USER": "the cluster was ended or restarted under the run",
    "CLOUD_FAILURE": "the cloud failed",
    "STORAGE_ACCESS_ERROR": "storage could not be reached",
    "WORKSPACE_RUN_LIMIT_EXCEEDED": "too many runs at once in the workspace",
    "CLUSTER_REQUEST_LIMIT_EXCEEDED": "too many clusters were asked for at once",
    "MAX_CONCURRENT_RUNS_EXCEEDED": "too many runs at once",
    "MAX_SPARK_CONTEXTS_EXCEEDED": "too many contexts on the cluster",
    "MAX_JOB_QUEUE_SIZE_EXCEEDED": "the queue is full",
}
"""Codes of a run's `termination_details` that say nothing of the step itself: it may be tried again."""

VERDICTS: Mapping[str, str] = {
    "USER_CANCELED": "somebody cancelled it in Databricks",
    "CANCELED": "Databricks cancelled it, as when its time is up",
    "SKIPPED": "it was never begun",
    "DISABLED": "somebody disabled it",
    "LIBRARY_INSTALLATION_ERROR": "a library could not be installed",
    "INVALID_CLUSTER_REQUEST": "the cluster that was asked for cannot be",
    "INVALID_RUN_CONFIGURATION": "the run that was asked for cannot be",
    "FEATURE_DISABLED": "the workspace does not have what it needs",
    "BUDGET_POLICY_LIMIT_EXCEEDED": "the budget is used up",
    "UNAUTHORIZED_ERROR": "it lacked a permission",
    "RESOURCE_NOT_FOUND": "something that it needs does not exist",
    "REPOSITORY_CHECKOUT_FAILED": "a repository could not be checked out",
    "BREAKING_CHANGE": "Databricks' Spark no longer does what it needs",
}
"""Codes that would come again, or that somebody meant: the step is not tried again."""

ITS_OWN_END = "RUN_EXECUTION_ERROR"
"""The process failed. Whether it may be tried again depends on whether it had a word to say: see launcher.py."""

CANCELLED = frozenset({"USER_CANCELED", "CANCELED"})

_LOGIN_REFUSALS = (
    "invalid_client",
    "invalid_grant",
    "invalid_request",
    "invalid_scope",
    "unauthorized_client",
    "unsupported_grant_type",
    "access_denied",
    "AADSTS7000",
)
"""The errors of OAuth's token endpoint (RFC 6749, 5.2), and Microsoft's own for a wrong or expired secret."""


def may_pass(code: str, kind: str) -> bool:
    """Whether a run that ended so, its step unfinished, may be tried again.

    A code that is not known yet is judged by its kind: faults of Databricks and of the cloud pass, the client's stay.
    """
    if code in VERDICTS:
        return False
    return code in PASSING_ENDS or kind in ("INTERNAL_ERROR", "CLOUD_FAILURE")


def login_is_refused(message: str) -> bool:
    """Whether what the login raised says that these credentials do not hold; all else is an endpoint that is down."""
    return any(refusal in message for refusal in _LOGIN_REFUSALS)

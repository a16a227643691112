"""A permission that a role of the deployed stack lacks for a while."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from dev.local.localize import BATCHES
from dev.local.stack import LocalStack

type Permission = tuple[str, str, str]
"""Role, statement and action, by their names in the template."""


class Roles:
    """The deployed roles of the stack, and their policies: a managed one, which both functions share, by its ARN."""

    def __init__(self, stack: LocalStack) -> None:
        self._iam = stack.client("iam")
        resources = stack.client("cloudformation").describe_stack_resources(StackName=stack.stack_name)
        self._names = {
            resource["LogicalResourceId"]: resource["PhysicalResourceId"]
            for resource in resources["StackResources"]
            if resource["ResourceType"] == "AWS::IAM::Role"
        }

    @contextmanager
    def without(self, permission: Permission) -> Iterator[None]:
        """Remove a permission temporarily, with the batch action that only the local AWS knows."""
        role, sid, action = permission
        gone = {action, BATCHES.get(action)}
        ((policy, document),) = [
            (policy, document)
            for policy, document in self._documents(role).items()
            if sid in [statement["Sid"] for statement in document["Statement"]]
        ]
        statements = [
            statement | {"Action": [name for name in actions(statement) if statement["Sid"] != sid or name not in gone]}
            for statement in document["Statement"]
        ]
        left = {**document, "Statement": [statement for statement in statements if statement["Action"]]}
        self._put(role, policy, left)
        try:
            yield
        finally:
            self._put(role, policy, document)

    def _documents(self, role: str) -> dict[str, Any]:
        name = self._names[role]
        attached = [
            policy["PolicyArn"] for policy in self._iam.list_attached_role_policies(RoleName=name)["AttachedPolicies"]
        ]
        return {
            policy: self._iam.get_role_policy(RoleName=name, PolicyName=policy)["PolicyDocument"]
            for policy in self._iam.list_role_policies(RoleName=name)["PolicyNames"]
        } | {arn: self._version(arn)["Document"] for arn in attached}

    def _version(self, arn: str) -> dict[str, Any]:
        version = self._iam.get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"]
        found: dict[str, Any] = self._iam.get_policy_version(PolicyArn=arn, VersionId=version)["PolicyVersion"]
        return found

    def _put(self, role: str, policy: str, document: dict[str, Any]) -> None:
        if policy.startswith("arn:"):
            before = self._version(policy)["VersionId"]
            self._iam.create_policy_version(PolicyArn=policy, PolicyDocument=json.dumps(document), SetAsDefault=True)
            self._iam.delete_policy_version(PolicyArn=policy, VersionId=before)
        elif document["Statement"]:
            self._iam.put_role_policy(
                RoleName=self._names[role], PolicyName=policy, PolicyDocument=json.dumps(document)
            )
        else:
            self._iam.delete_role_policy(RoleName=self._names[role], PolicyName=policy)


def actions(statement: dict[str, Any]) -> list[str]:
    action = statement["Action"]
    return action if isinstance(action, list) else [action]

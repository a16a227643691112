"""Least privilege: what each role and each resource policy in the template allows."""

from contract.template import RESOURCES, as_list, name_of, of_type, statements

# By a managed policy that both roles share.
SHARED = {
    "SendRecordsTable.Arn": {"dynamodb:GetItem", "dynamodb:PutItem"},
    "ApiKeySecret.Id or ApiKeySecretArn": {"secretsmanager:GetSecretValue"},
    "ApiKeySecretKmsKeyArn": {"kms:Decrypt"},  # only when the secret has a customer key
    "*": {  # only in a VPC
        "ec2:AssignPrivateIpAddresses",
        "ec2:CreateNetworkInterface",
        "ec2:DeleteNetworkInterface",
        "ec2:DescribeNetworkInterfaces",
        "ec2:DescribeSubnets",
        "ec2:UnassignPrivateIpAddresses",
    },
    # Lambda uses the function's role to deliver failed events.
    "FailedEventsQueue.Arn": {"sqs:SendMessage"},
}
WRITE_LOG = {"logs:CreateLogStream", "logs:PutLogEvents"}
SHIFT_CALLS = {"lambda:GetAlias", "lambda:UpdateAlias", "lambda:GetProvisionedConcurrencyConfig"}

# The actions by role, then by resource.
ROLES: dict[str, dict[str, set[str]]] = {
    "ResendFunctionRole": SHARED | {"ResendLogGroup.Arn": WRITE_LOG},
    "SweepFunctionRole": SHARED
    | {
        "SweepLogGroup.Arn": WRITE_LOG,
        # The sweep needs the first. Lambda uses the others, with the function's role, to feed the worker.
        "ReminderQueue.Arn": {
            "sqs:SendMessage",
            "sqs:ReceiveMessage",
            "sqs:DeleteMessage",
            "sqs:ChangeMessageVisibility",
            "sqs:GetQueueAttributes",
        },
        "ReportTopicArn": {"sns:Publish"},  # only if there is one
    },
    "SweepScheduleRole": {
        "SweepFunction.Alias": {"lambda:InvokeFunction"},
        "UndeliveredEventsQueue.Arn": {"sqs:SendMessage"},
    },
    "ChaseRole": {
        "ResendFunction.Alias": {"lambda:InvokeFunction"},
        # "Using CloudWatch Logs to log execution history".
        "*": {
            *("logs:CreateLogDelivery", "logs:GetLogDelivery", "logs:UpdateLogDelivery"),
            *("logs:DeleteLogDelivery", "logs:ListLogDeliveries"),
            *("logs:PutResourcePolicy", "logs:DescribeResourcePolicies", "logs:DescribeLogGroups"),
        },
    },
    # AWS's policy AWSCodeDeployRoleForLambdaLimited, without its permissions for hooks and for revisions in S3.
    "DeploymentRole": {
        "ResendFunction.Arn": SHIFT_CALLS,
        "${ResendFunction.Arn}:live": SHIFT_CALLS,
        "SweepFunction.Arn": SHIFT_CALLS,
        "${SweepFunction.Arn}:live": SHIFT_CALLS,
        "*": {"cloudwatch:DescribeAlarms"},
    },
}

API = "arn:${AWS::Partition}:execute-api:${AWS::Region}:${AWS::AccountId}:${Api}/*"
# What the resource policies of functions and queues allow: resource, service, action and source.
RESOURCE_POLICIES = {
    ("ResendFunction.Alias", "apigateway.amazonaws.com", "lambda:InvokeFunction", API),
    ("ResendFunction.Alias", "events.amazonaws.com", "lambda:InvokeFunction", "EventRule.Arn"),
    ("UndeliveredEventsQueue", "events.amazonaws.com", "sqs:SendMessage", "EventRule.Arn"),
}


def roles() -> dict[str, dict[str, set[str]]]:
    found: dict[str, dict[str, set[str]]] = {}
    managed = of_type("AWS::IAM::ManagedPolicy")
    documents = [
        (name, policy["PolicyDocument"])
        for name, role in of_type("AWS::IAM::Role").items()
        for policy in [*role["Policies"], *(managed[arn["Ref"]] for arn in role.get("ManagedPolicyArns", []))]
    ]
    for role, document in documents:
        for statement in statements(document):
            for resource in as_list(statement["Resource"]):
                actions = found.setdefault(role, {}).setdefault(name_of(resource), set())
                if statement["Effect"] == "Allow":
                    actions.update(as_list(statement["Action"]))
    return found


def resource_policies() -> set[tuple[str, str, str, str]]:
    functions = {
        (name_of(p["FunctionName"]), p["Principal"], p["Action"], name_of(p["SourceArn"]))
        for p in of_type("AWS::Lambda::Permission").values()
    }
    queues = {
        (
            name_of(queue),
            statement["Principal"]["Service"],
            statement["Action"],
            name_of(statement["Condition"]["ArnEquals"]["aws:SourceArn"]),
        )
        for policy in of_type("AWS::SQS::QueuePolicy").values()
        for queue in policy["Queues"]
        for statement in statements(policy["PolicyDocument"])
        if statement["Effect"] == "Allow"
    }
    return functions | queues


def test_roles_have_exactly_the_needed_permissions() -> None:
    """`e2e.test_permissions` shows that the functions need each permission."""
    assert roles() == ROLES


def test_resource_policies_allow_exactly_the_needed_calls() -> None:
    assert resource_policies() == RESOURCE_POLICIES


def test_roles_have_no_other_policies() -> None:
    """No policy is AWS's, and none that is attached from outside a role allows anything."""
    assert {
        kind for kind in (resource["Type"] for resource in RESOURCES.values()) if kind.startswith("AWS::IAM::")
    } == {
        *("AWS::IAM::Role", "AWS::IAM::ManagedPolicy"),
    }
    for policy in of_type("AWS::IAM::ManagedPolicy").values():
        allowed = [s for s in statements(policy["PolicyDocument"]) if s["Effect"] == "Allow"]
        assert not ("Roles" in policy and allowed)
    for kind in ("AWS::Serverless::Function", "AWS::Serverless::StateMachine"):
        for properties in of_type(kind).values():
            assert "Role" in properties
            assert "Policies" not in properties  # SAM would ignore them, or make a role of its own


def test_services_assume_their_roles_for_this_account_only() -> None:
    roles = of_type("AWS::IAM::Role")
    services = {"SweepScheduleRole": "scheduler", "ChaseRole": "states", "DeploymentRole": "codedeploy"}
    for role, service in services.items():
        (trust,) = roles[role]["AssumeRolePolicyDocument"]["Statement"]
        assert trust["Principal"] == {"Service": f"{service}.amazonaws.com"}
        assert trust["Condition"] == {"StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}}


def test_code_in_a_vpc_may_not_manage_network_interfaces() -> None:
    """Lambda needs these permissions of the roles; AWS suggests to deny them to the functions' code.

    "Giving Lambda functions access to resources in an Amazon VPC", Developer Guide.
    """
    policy = RESOURCES["KeepCodeOffVpcPolicy"]
    (deny,) = policy["Properties"]["PolicyDocument"]["Statement"]
    (joined,) = [
        s for s in statements(RESOURCES["FunctionsPolicy"]["Properties"]["PolicyDocument"]) if s["Sid"] == "JoinVpc"
    ]

    assert policy["Condition"] == "UseVpc"
    assert policy["Properties"]["Roles"] == [{"Ref": "ResendFunctionRole"}, {"Ref": "SweepFunctionRole"}]
    assert (deny["Effect"], deny["Resource"]) == ("Deny", "*")
    # It does not matter who reads which subnets there are.
    assert set(joined["Action"]) - {"ec2:DescribeSubnets"} <= set(deny["Action"])
    assert deny["Condition"] == {
        "ArnEquals": {
            "lambda:SourceFunctionArn": [{"Fn::GetAtt": [name, "Arn"]} for name in ("ResendFunction", "SweepFunction")]
        }
    }

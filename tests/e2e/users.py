"""IAM users of the local AWS with exactly the policies that docs/operations.md prints."""

import json
import re
from contextlib import closing

from dev import pages
from dev.local.stack import LocalStack

type Users = dict[str, dict[str, str]]
"""By name of the user: the credentials, as environment variables."""

PLACE = ("docs/operations.md", "Who may use the command")
CALLER, OPERATOR = (block.text for block in pages.blocks(PLACE[0]) if block.section == PLACE[1])
# What callers may do; everything else is for operators.
CALLERS_COMMANDS = set(pages.codes(pages.section(*PLACE).partition("**Callers**")[2].partition(":")[0]))


def create_users(stack: LocalStack) -> Users:
    """Create the users `caller` and `operator`."""
    with closing(stack.client("cloudformation")) as cloudformation:
        (found,) = cloudformation.describe_stacks(StackName=stack.stack_name)["Stacks"]
    known = {output["OutputKey"]: output["OutputValue"] for output in found["Outputs"]}
    # An ARN or URL ends in the name.
    known |= {
        f"{output.removesuffix('Arn').removesuffix('Url')}Name": re.split("[:/]", value)[-1]
        for output, value in known.items()
        if output.endswith(("StateMachineArn", "QueueUrl"))
    }
    known |= {"partition": "aws", "region": stack.region, "account": "123456789012", "stack": stack.stack_name}
    # The local stack has no CodeDeploy.
    known["DeploymentApplicationName"] = "none"
    users = {}
    with closing(stack.client("iam")) as iam:
        for name, policies in {"caller": [CALLER], "operator": [CALLER, OPERATOR]}.items():
            iam.create_user(UserName=name)
            for number, policy in enumerate(policies):
                document = json.loads(re.sub(r"<(\w+)>", lambda match: known[match[1]], policy))
                iam.put_user_policy(UserName=name, PolicyName=f"{number}", PolicyDocument=json.dumps(document))
            key = iam.create_access_key(UserName=name)["AccessKey"]
            users[name] = {"AWS_ACCESS_KEY_ID": key["AccessKeyId"], "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"]}
    return users

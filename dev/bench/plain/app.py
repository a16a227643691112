"""The baseline: what one would write instead of DV Resend."""

import json
import os

import boto3
import requests

BASE_URL = os.environ.get("CERTCENTRAL_BASE_URL", "https://www.digicert.com/services/v2")
API_KEY = boto3.client("secretsmanager").get_secret_value(SecretId=os.environ["API_KEY_SECRET_ID"])["SecretString"]


def lambda_handler(event, context):  # noqa: ARG001
    """Resend the DCV emails of one order: for API Gateway, EventBridge, or whoever invokes the function."""
    if "requestContext" in event:
        order_id, body = event["pathParameters"]["order_id"], json.loads(event.get("body") or "{}")
    else:
        body = dict(event.get("detail", event))
        order_id = body.pop("order_id")
    url = f"{BASE_URL}/order/certificate/{order_id}/resend-emails"
    response = requests.put(url, json=body, headers={"X-DC-DEVKEY": API_KEY}, timeout=10)
    print(f"order {order_id}: {response.status_code} {response.text}")
    if "requestContext" in event:
        return {"statusCode": response.status_code, "body": response.text}
    response.raise_for_status()
    return {"order_id": order_id, "status": response.status_code}

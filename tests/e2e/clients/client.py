"""DigiCert's documented request with requests: only the host is taken from the environment."""

import os

import requests

response = requests.put(
    f"{os.environ['HOST']}/services/v2/order/certificate/{os.environ['ORDER_ID']}/resend-emails",
    json={
        "domain_approval_emails": [
            {"domain": "example.com", "email": "someone@example.com"},
            {"domain": "sub.example2.com", "email": "someone@example2.com", "email_domain": "example2.com"},
        ],
        "locale": "en",
    },
    headers={"X-DC-DEVKEY": os.environ["DEVKEY"], "Content-Type": "application/json"},
    timeout=30,
)
print(response.status_code, len(response.content))

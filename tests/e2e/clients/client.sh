# DigiCert's documented request with curl: only the host is taken from the environment.
curl --silent --show-error --output /dev/null --write-out '%{http_code} %{size_download}\n' --request PUT \
  "$HOST/services/v2/order/certificate/$ORDER_ID/resend-emails" \
  --header 'Content-Type: application/json' \
  --header "X-DC-DEVKEY: $DEVKEY" \
  --data '{
    "domain_approval_emails": [
      {"domain": "example.com", "email": "someone@example.com"},
      {"domain": "sub.example2.com", "email": "someone@example2.com", "email_domain": "example2.com"}
    ],
    "locale": "en"
  }'

// DigiCert's documented request with Node.js: only the host is taken from the environment.
const response = await fetch(
  `${process.env.HOST}/services/v2/order/certificate/${process.env.ORDER_ID}/resend-emails`,
  {
    method: "PUT",
    headers: { "X-DC-DEVKEY": process.env.DEVKEY, "Content-Type": "application/json" },
    body: JSON.stringify({
      domain_approval_emails: [
        { domain: "example.com", email: "someone@example.com" },
        { domain: "sub.example2.com", email: "someone@example2.com", email_domain: "example2.com" },
      ],
      locale: "en",
    }),
  },
);
console.log(response.status, (await response.text()).length);

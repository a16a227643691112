// DigiCert's documented request with Go's net/http: only the host is taken from the environment.
package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
)

const payload = `{
  "domain_approval_emails": [
    {"domain": "example.com", "email": "someone@example.com"},
    {"domain": "sub.example2.com", "email": "someone@example2.com", "email_domain": "example2.com"}
  ],
  "locale": "en"
}`

func main() {
	url := os.Getenv("HOST") + "/services/v2/order/certificate/" + os.Getenv("ORDER_ID") + "/resend-emails"
	request, err := http.NewRequest("PUT", url, strings.NewReader(payload))
	if err != nil {
		panic(err)
	}
	request.Header.Add("X-DC-DEVKEY", os.Getenv("DEVKEY"))
	request.Header.Add("Content-Type", "application/json")

	response, err := http.DefaultClient.Do(request)
	if err != nil {
		panic(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		panic(err)
	}
	fmt.Println(response.StatusCode, len(body))
}

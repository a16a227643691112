"""The services that the core depends on: CertCentral, Secrets Manager, DynamoDB, SQS and DNS."""

"""The latency model: measured subnets of a space, a regression on their structure, and its error on others."""

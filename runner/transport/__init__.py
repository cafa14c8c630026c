"""The doors to a service: httpx clients and transports, with the guards every call passes."""

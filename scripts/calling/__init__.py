"""Asking a model, by REST, by gRPC or here, and what comes back."""

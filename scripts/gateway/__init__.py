"""The gateway: what is to be routed -> the files that Envoy watches; gateway/ has what never changes."""

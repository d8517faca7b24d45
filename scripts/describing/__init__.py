"""What an endpoint tells of itself: its card, its metadata by other protocols, the API's description."""

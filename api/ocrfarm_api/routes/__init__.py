"""The HTTP routes, by subject. They translate; the use cases are beside them."""

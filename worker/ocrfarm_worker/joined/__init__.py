"""A node that joined over the network: it shares nothing with the gateway but TCP."""

"""kube-proxy: Services and endpoints in, the rules of each of its modes out."""

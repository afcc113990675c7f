#!/bin/sh
# Put the wheel of seqd, a marker of the image and its SBOM below /added, as they are to stand below
# the root of the image. Usage: install_seqd.sh TARGET VERSION
set -eu
target=$1 version=$2

pip() {
    /tools/bin/pip --python /opt/seqd/bin/python "$@"
}
pip install --quiet --no-warn-script-location --no-deps --no-index --root /added /wheels/seqd-*.whl
# Beside its libraries, for the check and the list.
cp -a /added/. /

built=$(/opt/seqd/bin/python -c 'from seqd import __version__; print(__version__)')
if [ "$built" != "$version" ]; then
    echo "VERSION is $version, and the sources are seqd $built: leave VERSION away, or mend it" >&2
    exit 1
fi
pip check

/tools/bin/pip install --quiet 'cyclonedx-bom>=7,<8'
mkdir -p /added/usr/share/sbom /added/usr/share/seqd
/tools/bin/cyclonedx-py environment --pyproject /src/pyproject.toml --mc-type application \
    --output-reproducible --output-format JSON --output-file /added/usr/share/sbom/seqd.cdx.json \
    /opt/seqd/bin/python
# By this file people know which image they are in.
echo "$target $version" > /added/usr/share/seqd/image

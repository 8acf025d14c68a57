#!/bin/bash
# Runs the QEMU of architecture $ARCH so that it dies with the process that started it, however that ends.
exec setpriv --pdeathsig KILL "qemu-system-$ARCH" "$@"

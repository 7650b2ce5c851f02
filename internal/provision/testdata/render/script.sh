#!/bin/bash
set -u
echo "$private_ipv4" '${hostname}' $$ $HOME "$$hostname" >/run/peer

# For Packer 1.7 and later, which is given this folder. Debian's 1.6.6 has the QEMU builder built in, knows no
# required_plugins, and is given ubuntu.pkr.hcl alone.
packer {
  required_plugins {
    qemu = {
      source  = "github.com/hashicorp/qemu"
      version = "= 1.1.4"
    }
  }
}

# Boots a base image, sets it up over SSH, seals it and keeps its disk. Run by build.sh, which makes every variable.
# Kept to what Debian's Packer 1.6.6 and current Packer both accept (README.md).

variable "base" {
  type        = string
  description = "What the base image is: ubuntu or debian."
}
variable "base_image" {
  type        = string
  description = "The base image's file, verified by build.sh."
}
variable "runner" {
  type        = string
  description = "What is in payload/runner.tar: github or fixture."
}
variable "snapshot" {
  type        = string
  description = "Ubuntu's package snapshot, as in 20260901T000000Z."
}
variable "work" {
  type        = string
  description = "This build's own folder: http/, payload/, ssh-key, and the results."
}
variable "accelerator" {
  type = string
}
variable "machine" {
  type        = list(list(string))
  description = "QEMU options of the machine (machine.sh)."
}
variable "cpus" {
  type = number
}
variable "memory" {
  type        = number
  description = "MiB."
}

# How a build gets in. Ubuntu's image has cloud-init, which asks for user-data and makes the user `build`; the Debian base has systemd
# alone, which gives root the key that it finds as a credential: systemd.system-credentials(7).
locals {
  access = {
    ubuntu = { user = "build", smbios = "type=1,serial=ds=nocloud-net;s=http://{{ .HTTPIP }}:{{ .HTTPPort }}/" }
    debian = { user = "root", smbios = "type=11,path=${var.work}/ssh-credential" }
  }
}

source "qemu" "ubuntu" {
  vm_name          = "disk.qcow2"
  output_directory = "${var.work}/output"
  headless         = true

  qemu_binary = "./qemu.sh"
  accelerator = var.accelerator
  cpus        = var.cpus
  memory      = var.memory

  # The checksum was verified when the file came into the cache.
  disk_image   = true
  iso_url      = var.base_image
  iso_checksum = "none"
  # The floor of a VM's disk. It costs nothing: what is not written takes no space.
  disk_size          = "8G"
  format             = "qcow2"
  disk_interface     = "virtio"
  disk_discard       = "unmap"
  disk_detect_zeroes = "unmap"
  # A build is repeated, not recovered.
  disk_cache = "unsafe"

  boot_wait      = "1s"
  http_directory = "${var.work}/http"
  qemuargs = concat(var.machine, [
    # Packer's own options, but with the guest's SSH port on loopback only.
    ["-netdev", "user,id=user.0,hostfwd=tcp:127.0.0.1:{{ .SSHHostPort }}-:22"],
    ["-device", "virtio-net-pci,netdev=user.0"],
    ["-device", "virtio-rng-pci"],
    ["-smbios", local.access[var.base].smbios],
    ["-serial", "file:${var.work}/console.log"],
  ])

  ssh_username           = local.access[var.base].user
  ssh_private_key_file   = "${var.work}/ssh-key"
  ssh_timeout            = var.accelerator == "kvm" ? "5m" : "30m"
  ssh_handshake_attempts = 1000

  shutdown_command = "sudo bash /tmp/payload/seal.sh"
  shutdown_timeout = "10m"
}

build {
  sources = ["source.qemu.ubuntu"]

  provisioner "shell" {
    inline = ["mkdir /tmp/payload"]
  }
  provisioner "file" {
    source      = "${var.work}/payload/"
    destination = "/tmp/payload"
  }
  provisioner "shell" {
    execute_command = "chmod +x {{ .Path }}; sudo env {{ .Vars }} {{ .Path }}"
    environment_vars = [
      "PAYLOAD=/tmp/payload",
      "BASE=${var.base}",
      "RUNNER=${var.runner}",
      "SNAPSHOT=${var.snapshot}",
    ]
    # In this order.
    scripts = [
      "scripts/10-packages.sh",
      "scripts/20-files.sh",
      "scripts/25-kernel.sh",
      "scripts/30-runner.sh",
      "scripts/40-tools.sh",
      "scripts/50-build-json.sh",
    ]
  }
}

# SPDX-License-Identifier: AGPL-3.0-or-later
# The binary, its man pages and completions, from this source.
{
  lib,
  stdenv,
  rustPlatform,
  installShellFiles,
  perl,
}:

let
  inherit (lib) fileset;
in
rustPlatform.buildRustPackage {
  pname = "conclave";
  inherit ((lib.importTOML ../Cargo.toml).package) version;

  # What the compiler reads: a change elsewhere builds nothing anew. tests/nix/check.sh compares it with the sources.
  src = fileset.toSource {
    root = ../.;
    fileset = fileset.difference (fileset.unions [
      ../Cargo.toml
      ../Cargo.lock
      ../LICENSE
      ../askama.toml
      ../docs/protocol.md
      ../src
      ../tests/it
      ../tests/media
      ../tests/vectors
    ]) (fileset.maybeMissing ../src/console/web/node_modules);
  };

  # Every dependency comes from the registry, so the lock file has all the hashes.
  cargoLock.lockFile = ../Cargo.lock;

  # OpenSSL below SQLCipher is configured by Perl. It is built from the crate's source and linked into the binary, as
  # aws-lc is, so that the binary is the same on every system; both need no more than make and the C compiler.
  nativeBuildInputs = [
    installShellFiles
    perl
  ];
  cargoBuildFlags = [
    "--bin"
    "conclave"
  ];

  # They need doors that are in no shipped binary: `make test` runs them.
  doCheck = false;

  postInstall = lib.optionalString (stdenv.buildPlatform.canExecute stdenv.hostPlatform) ''
    $out/bin/conclave manual man
    installManPage man/*
    for shell in bash zsh fish; do
      $out/bin/conclave completions $shell >conclave.$shell
      installShellCompletion --cmd conclave --$shell conclave.$shell
    done
  '';

  meta = {
    description = "Self-hosted appliance for private meetings in virtual and augmented reality";
    license = lib.licenses.agpl3Plus;
    mainProgram = "conclave";
    platforms = lib.platforms.linux;
  };
}

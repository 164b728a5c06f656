# SPDX-License-Identifier: AGPL-3.0-or-later
# The little of nixpkgs' package set that nix/ uses. What builds something says what it was asked for instead.
{ lib }:
let
  place = name: "${builtins.storeDir}/00000000000000000000000000000000-${name}";

  # TOML has no null, and neither paths nor functions.
  isToml =
    value:
    builtins.isString value
    || builtins.isBool value
    || builtins.isInt value
    || builtins.isFloat value
    || builtins.isList value && builtins.all isToml value
    || builtins.isAttrs value && builtins.all isToml (builtins.attrValues value);

  pkgs = {
    stdenv = rec {
      buildPlatform = {
        system = "x86_64-linux";
        canExecute = other: other.system == "x86_64-linux";
      };
      hostPlatform = buildPlatform;
    };
    rustPlatform.buildRustPackage =
      arguments:
      arguments
      // {
        type = "derivation";
        outPath = place "conclave-${arguments.version}";
      };
    installShellFiles = "installShellFiles";
    perl = "perl";
    curl = "curl";
    tcpdump = "tcpdump";
    nixfmt-tree = "nixfmt-tree";

    callPackage =
      file: given:
      let
        package = import file;
        asked = builtins.functionArgs package;
      in
      package (builtins.intersectAttrs asked (pkgs // { inherit lib; }) // given);

    formats.toml =
      { }:
      {
        type = {
          name = "TOML value";
          check = value: builtins.isAttrs value && isToml value;
        };
        # Says what would be in the file; check.py writes it, and runs what reads it.
        generate = name: value: "@toml:${name}:${builtins.toJSON value}@";
      };
    # As there, another script is another path.
    runCommand = name: environment: script: {
      inherit script;
      outPath = place "${builtins.hashString "sha256" script}-${name}";
    };
    testers.runNixOSTest = file: import file;
  };
in
pkgs

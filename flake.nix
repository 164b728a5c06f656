# SPDX-License-Identifier: AGPL-3.0-or-later
{
  description = "Conclave: private meetings in virtual and augmented reality, self-hosted";

  inputs.nixpkgs.url = "github:NixOS/nixpkgs/nixos-unstable";

  outputs =
    { nixpkgs, ... }:
    let
      each =
        make:
        nixpkgs.lib.genAttrs [ "x86_64-linux" "aarch64-linux" ] (
          system: make nixpkgs.legacyPackages.${system}
        );
    in
    {
      packages = each (pkgs: rec {
        conclave = pkgs.callPackage ./nix/package.nix { };
        default = conclave;
      });

      nixosModules = rec {
        conclave = ./nix/module.nix;
        default = conclave;
      };

      checks = each (pkgs: {
        vm = pkgs.testers.runNixOSTest ./nix/vm-test.nix;
      });

      formatter = each (pkgs: pkgs.nixfmt-tree);
    };
}

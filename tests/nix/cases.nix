# SPDX-License-Identifier: AGPL-3.0-or-later
# Everything in nix/ evaluated against the stubs, as one value for check.sh: each case with what does not hold, and the
# rest for check.py to look at.
let
  lib = import ./stubs/lib.nix;
  pkgs = import ./stubs/pkgs.nix { inherit lib; };
  evaluate =
    conclave:
    import ./stubs/eval.nix {
      inherit lib pkgs;
      module = import ../../nix/module.nix;
      written.services = { inherit conclave; };
    };
  enabled = conclave: evaluate (conclave // { enable = true; });

  default = enabled { };

  flake = (import ../../flake.nix).outputs {
    self = { };
    nixpkgs = {
      inherit lib;
      legacyPackages = lib.genAttrs [ "x86_64-linux" "aarch64-linux" ] (_: pkgs);
    };
  };
  vm = flake.checks.x86_64-linux.vm;
  server = vm.nodes.server { inherit pkgs; };

  # A configuration that holds, and what it gives.
  gives = name: conclave: wanted: {
    inherit name;
    wrong =
      let
        result = enabled conclave;
        given = builtins.mapAttrs (_: read: read result.config) readings;
      in
      result.errors
      ++ builtins.concatMap (
        key:
        lib.optional (
          given.${key} != wanted.${key}
        ) "${key}: ${builtins.toJSON given.${key}} and not ${builtins.toJSON wanted.${key}}"
      ) (builtins.attrNames wanted);
  };
  readings = {
    https = config: config.systemd.sockets.conclave-https.listenStreams;
    quic = config: config.systemd.sockets.conclave-quic.listenDatagrams;
    fence = config: {
      https = config.systemd.sockets.conclave-https.socketConfig.IPAddressAllow;
      quic = config.systemd.sockets.conclave-quic.socketConfig.IPAddressAllow;
    };
    freeBind = config: config.systemd.sockets.conclave-quic.socketConfig.FreeBind or false;
    firewall = config: {
      tcp = config.networking.firewall.allowedTCPPorts;
      udp = config.networking.firewall.allowedUDPPorts;
    };
    credential = config: {
      service = config.systemd.services.conclave.serviceConfig.LoadCredentialEncrypted or null;
      preflight =
        config.systemd.services."conclave-preflight@".serviceConfig.LoadCredentialEncrypted or null;
    };
    start = config: config.systemd.services.conclave.serviceConfig.ExecStart;
  };

  # One that must not, and what is said.
  refuses = name: conclave: message: {
    inherit name;
    wrong =
      let
        inherit (enabled conclave) errors;
      in
      if errors == [ ] then
        [ "it is taken" ]
      else
        lib.optional (!builtins.any (lib.hasInfix message) errors) "it says: ${toString errors}";
  };

  default-networks = [
    "10.0.0.0/8"
    "172.16.0.0/12"
    "192.168.0.0/16"
    "fc00::/7"
  ];
  here = [
    "localhost"
    "link-local"
  ];
in
{
  cases = [
    {
      name = "nothing is there before it is enabled";
      wrong =
        let
          off = evaluate { };
        in
        off.errors ++ builtins.attrNames off.config;
    }
    (gives "the defaults" { } {
      https = [
        "0.0.0.0:443"
        "[::]:443"
      ];
      quic = [
        "0.0.0.0:443"
        "[::]:443"
      ];
      fence = {
        https = here ++ default-networks;
        quic = here ++ default-networks;
      };
      freeBind = false;
      firewall = {
        tcp = [ ];
        udp = [ ];
      };
      credential = {
        service = null;
        preflight = null;
      };
    })
    (gives "another port, address and network"
      {
        port = 8443;
        listenAddresses = [
          "192.168.7.2"
          "fd00::7"
        ];
        clientNetworks = [ "10.20.0.0/16" ];
        openFirewall = true;
      }
      {
        https = [
          "192.168.7.2:8443"
          "[fd00::7]:8443"
        ];
        quic = [
          "192.168.7.2:8443"
          "[fd00::7]:8443"
        ];
        fence = {
          https = here ++ [ "10.20.0.0/16" ];
          quic = here ++ [ "10.20.0.0/16" ];
        };
        freeBind = true;
        firewall = {
          tcp = [ 8443 ];
          udp = [ 8443 ];
        };
      }
    )
    (gives "a credential, for the service and a preflight"
      { masterKeyCredential = "/var/lib/secrets/conclave.cred"; }
      {
        credential = {
          service = "conclave.master-key:/var/lib/secrets/conclave.cred";
          preflight = "conclave.master-key:/var/lib/secrets/conclave.cred";
        };
      }
    )
    (gives "another package" { package = "${builtins.storeDir}/x-other"; } {
      start = "${builtins.storeDir}/x-other/bin/conclave serve";
    })
    {
      name = "the service follows its sockets and its configuration";
      wrong =
        let
          triggers = conclave: builtins.toJSON (enabled conclave).config.systemd.services.conclave.restartTriggers;
        in
        builtins.concatMap (conclave: lib.optional (triggers conclave == triggers { }) (builtins.toJSON conclave)) [
          { port = 8443; }
          { clientNetworks = [ "10.20.0.0/16" ]; }
          { listenAddresses = [ "::" ]; }
          { settings.log.level = "debug"; }
        ]
        ++ lib.optional (
          !lib.hasInfix "conclave.toml" (triggers { })
        ) "the configuration is not among ${triggers { }}";
    }

    (refuses "a key in the store" { masterKeyFile = "${builtins.storeDir}/x-key"; } "which everybody can read")
    (refuses "a credential in the store" {
      masterKeyCredential = "${builtins.storeDir}/x-key";
    } "services.conclave.masterKeyCredential is ${builtins.storeDir}/x-key: name a file outside")
    (refuses "a provision file in the store" {
      provisionFile = "${builtins.storeDir}/x";
    } "services.conclave.provisionFile is")
    # This is how a secret is copied to the store; here that would fail by itself, too.
    (refuses "a key that is a path and no string" { masterKeyFile = ./cases.nix; } "masterKeyFile' is not of type")
    (refuses "a credential that is a path" { masterKeyCredential = ./cases.nix; } "is not of type `null or string'")
    (refuses "a provision file that is a path" { provisionFile = ./cases.nix; } "provisionFile' is not of type")
    (refuses "a relative path" { masterKeyFile = "master.key"; } "by an absolute path")
    (refuses "a key below /root" { masterKeyFile = "/root/master.key"; } "cannot see from its sandbox")
    (refuses "two keys" {
      masterKeyFile = "/var/lib/secrets/a";
      masterKeyCredential = "/var/lib/secrets/b";
    } "are both set")
    (refuses "no address" { listenAddresses = [ ]; } "listenAddresses is empty")
    (refuses "an address with a port" { listenAddresses = [ "10.0.0.1:443" ]; } ''"10.0.0.1:443" is no address'')
    (refuses "an address with brackets" { listenAddresses = [ "[::]" ]; } "without port and brackets")
    (refuses "a name for an address" { listenAddresses = [ "localhost" ]; } "is no address")
    (refuses "a port that is none" { port = 65536; } "is not of type `port")
    (refuses "a network without a length" { clientNetworks = [ "10.0.0.0" ]; } ''"10.0.0.0" is no network'')
    (refuses "a fence that is open" { clientNetworks = [ "0.0.0.0/0" ]; } "no fence at all")
    (refuses "a fence that is open, IPv6" { clientNetworks = [ "::/0" ]; } "no fence at all")
    (refuses "any" { clientNetworks = [ "any" ]; } ''"any" is no network'')
    (refuses "another data directory" { settings.data_dir = "/srv"; } "always /var/lib/conclave")
    (refuses "another admin socket" { settings.admin.socket = "/run/x"; } "always at /run/conclave/admin.sock")
    (refuses "addresses in the settings" { settings.https.listen = [ "[::]:1" ]; } "use services.conclave.listenAddresses")
    (refuses "a key in the settings" { settings.master_key_file = "/x"; } "use services.conclave.masterKeyFile")
    (refuses "a provision file in the settings" { settings.provision = "/x"; } "use services.conclave.provisionFile")
    (refuses "settings that TOML does not have" { settings.log.level = null; } "is not of type `TOML value'")
    (refuses "an option that does not exist" { ports = 443; } "conclave.ports' does not exist")

    {
      name = "the flake gives the package and the module";
      wrong = lib.optional (
        flake.packages.aarch64-linux.default.pname != "conclave"
        || flake.packages.x86_64-linux.conclave.outPath != flake.packages.x86_64-linux.default.outPath
        || flake.nixosModules.default != ../../nix/module.nix
        || flake.nixosModules.conclave != ../../nix/module.nix
      ) "it does not";
    }
    {
      name = "the server of the VM test holds";
      wrong =
        (evaluate server.services.conclave).errors
        ++ lib.optional (server.imports != [ ../../nix/module.nix ]) "it does not have the module";
    }
  ];

  # The configuration file: how it is built, and what is in it then.
  files =
    let
      file = conclave: settings: {
        inherit ((enabled conclave).config.environment.etc."conclave/conclave.toml".source) script;
        holds = lib.recursiveUpdate {
          data_dir = "/var/lib/conclave";
          admin.socket = "/run/conclave/admin.sock";
        } settings;
      };
    in
    [
      (file { } { })
      (file
        {
          masterKeyFile = "/var/lib/secrets/master.key";
          provisionFile = "/etc/conclave/provision.toml";
          settings.log.level = "debug";
          settings.https.requests_per_minute = 600;
        }
        {
          master_key_file = "/var/lib/secrets/master.key";
          provision = "/etc/conclave/provision.toml";
          log.level = "debug";
          https.requests_per_minute = 600;
        }
      )
      # The appliance refuses these when they are built.
      (file { settings.log.levle = "debug"; } { } // { refused = "levle"; })
      (file { settings.password.memory_kib = 1; } { } // { refused = "19456"; })
    ];

  inherit (default.config.systemd) services sockets;
  tmpfiles = default.config.systemd.tmpfiles.rules;
  user = default.config.users.users.conclave;
  inherit (default) systemd;
  preSwitchCheck = default.config.system.preSwitchChecks.conclave;
  package = {
    path = flake.packages.x86_64-linux.default.outPath;
    inherit (flake.packages.x86_64-linux.default) version src postInstall;
  };
  vm = {
    nodes = builtins.attrNames vm.nodes;
    script = vm.testScript {
      nodes = builtins.mapAttrs (_: _: { networking.primaryIPAddress = "192.168.1.4"; }) vm.nodes;
    };
  };
}

# SPDX-License-Identifier: AGPL-3.0-or-later
# The appliance as a NixOS service: the units of packaging/systemd/, made from options. What each of their lines is for
# is said there; tests/nix/check.py holds the two together, key by key.
{
  config,
  lib,
  pkgs,
  ...
}:

let
  inherit (lib)
    any
    hasInfix
    hasPrefix
    literalExpression
    mkEnableOption
    mkIf
    mkOption
    optional
    optionalAttrs
    optionalString
    types
    ;

  cfg = config.services.conclave;
  format = pkgs.formats.toml { };

  dataDirectory = "/var/lib/conclave";
  adminSocket = "/run/conclave/admin.sock";

  settings = lib.recursiveUpdate cfg.settings (
    {
      data_dir = dataDirectory;
      admin.socket = adminSocket;
    }
    // optionalAttrs (cfg.masterKeyFile != null) { master_key_file = cfg.masterKeyFile; }
    // optionalAttrs (cfg.provisionFile != null) { provision = cfg.provisionFile; }
  );

  # What somebody wrote is checked where a mistake costs nothing: a configuration that does not hold is not built.
  # Without the paths: where it is built is another machine.
  configFile = pkgs.runCommand "conclave.toml" { } (
    optionalString (pkgs.stdenv.buildPlatform.canExecute pkgs.stdenv.hostPlatform) ''
      { echo 'data_dir = "/nonexistent"'; cat ${format.generate "settings.toml" cfg.settings}; } >settings.toml
      ${cfg.package}/bin/conclave config check --config settings.toml
    ''
    + ''
      cp ${format.generate "conclave.toml" settings} $out
    ''
  );

  # Of the service, and of a preflight, which opens the same files with the same keys.
  sandbox = {
    User = "conclave";
    Group = "conclave";
    StateDirectory = "conclave";
    StateDirectoryMode = "0700";
    UMask = "0077";
    MemorySwapMax = 0;
    LimitCORE = 0;
    LimitNOFILE = 65536;
    PrivateNetwork = true;
    RestrictAddressFamilies = "AF_UNIX";
    IPAddressDeny = "any";
    NoNewPrivileges = true;
    CapabilityBoundingSet = "";
    AmbientCapabilities = "";
    SupplementaryGroups = "";
    ProtectSystem = "strict";
    ProtectHome = true;
    PrivateTmp = true;
    PrivateDevices = true;
    DevicePolicy = "closed";
    PrivateUsers = true;
    PrivateIPC = true;
    ProtectHostname = true;
    ProtectClock = true;
    ProtectKernelTunables = true;
    ProtectKernelModules = true;
    ProtectKernelLogs = true;
    ProtectControlGroups = true;
    ProtectProc = "invisible";
    ProcSubset = "pid";
    RestrictNamespaces = true;
    RestrictRealtime = true;
    RestrictSUIDSGID = true;
    LockPersonality = true;
    MemoryDenyWriteExecute = true;
    RemoveIPC = true;
    KeyringMode = "private";
    SystemCallArchitectures = "native";
    SystemCallFilter = [
      "@system-service"
      "~@privileged @resources"
    ];
    SystemCallErrorNumber = "EPERM";
  }
  // optionalAttrs (cfg.masterKeyCredential != null) {
    LoadCredentialEncrypted = "conclave.master-key:${cfg.masterKeyCredential}";
  };

  socketUnits = map (name: "${name}.socket") [
    "conclave-https"
    "conclave-quic"
    "conclave-admin"
  ];

  documentation = [ "man:conclave(1)" ];

  listen = map (
    address: "${if hasInfix ":" address then "[${address}]" else address}:${toString cfg.port}"
  ) cfg.listenAddresses;

  # Of the two sockets that take packets: where they listen, and the fence.
  network = {
    Service = "conclave.service";
    BindIPv6Only = "ipv6-only";
    TriggerLimitIntervalSec = 0;
    IPAddressDeny = "any";
    IPAddressAllow = [
      "localhost"
      "link-local"
    ]
    ++ cfg.clientNetworks;
  }
  // optionalAttrs (any (address: address != "0.0.0.0" && address != "::") cfg.listenAddresses) {
    # An address that the machine does not have yet when it boots.
    FreeBind = true;
  };

  sockets = {
    conclave-https = {
      description = "Conclave, HTTPS: API, console";
      inherit documentation;
      wantedBy = [ "sockets.target" ];
      listenStreams = listen;
      socketConfig = network // {
        FileDescriptorName = "https";
        Backlog = 1024;
      };
    };
    conclave-quic = {
      description = "Conclave, QUIC and WebTransport: the relay";
      inherit documentation;
      wantedBy = [ "sockets.target" ];
      listenDatagrams = listen;
      socketConfig = network // {
        FileDescriptorName = "quic";
        ReceiveBuffer = "4M";
        SendBuffer = "4M";
      };
    };
    conclave-admin = {
      description = "Conclave, the door of its command line";
      inherit documentation;
      wantedBy = [ "sockets.target" ];
      listenStreams = [ adminSocket ];
      socketConfig = {
        FileDescriptorName = "admin";
        Service = "conclave.service";
        SocketUser = "conclave";
        SocketGroup = "conclave";
        SocketMode = "0600";
        DirectoryMode = "0755";
        RemoveOnStop = true;
        TriggerLimitIntervalSec = 0;
        IPAddressDeny = "any";
      };
    };
  };

  # Files that the configuration names and somebody puts there by hand. Whoever writes a path that is no string has the
  # file in the store, where everybody on the machine reads it, and so do others that the store is copied to.
  files = {
    inherit (cfg) masterKeyFile masterKeyCredential provisionFile;
  };
  named = builtins.filter (name: files.${name} != null) (builtins.attrNames files);

  # systemd reads the credential itself; the others are opened from within the sandbox, which does not have these.
  hidden = [
    "/home/"
    "/root/"
    "/run/user/"
    "/tmp/"
    "/var/tmp/"
  ];
in
{
  options.services.conclave = {
    enable = mkEnableOption "Conclave, an appliance for private meetings in virtual and augmented reality";

    package = mkOption {
      type = types.package;
      default = pkgs.callPackage ./package.nix { };
      defaultText = literalExpression "pkgs.callPackage ./package.nix { }";
      description = "The package that is served.";
    };

    settings = mkOption {
      inherit (format) type;
      default = { };
      example = literalExpression ''
        {
          log.level = "debug";
          limits.connections_per_address = 512;
        }
      '';
      description = ''
        What is written into `/etc/conclave/conclave.toml`; `conclave config reference` says what there is. It is
        checked when it is built. Paths and addresses have options of their own here.
      '';
    };

    listenAddresses = mkOption {
      type = types.listOf types.str;
      default = [
        "0.0.0.0"
        "::"
      ];
      example = [ "192.168.7.2" ];
      description = "Addresses of this machine on which HTTPS (TCP) and the relay (UDP) listen, without a port.";
    };

    port = mkOption {
      type = types.port;
      default = 443;
      description = "Port of HTTPS (TCP) and of the relay (UDP).";
    };

    openFirewall = mkOption {
      type = types.bool;
      default = false;
      description = "Whether the firewall of this machine lets clients in, on that port, TCP and UDP.";
    };

    clientNetworks = mkOption {
      type = types.listOf types.str;
      default = [
        "10.0.0.0/8"
        "172.16.0.0/12"
        "192.168.0.0/16"
        "fc00::/7"
      ];
      example = [
        "10.20.0.0/16"
        "2001:db8:7::/48"
      ];
      description = ''
        The fence: networks of your clients. No packet of the appliance leaves for, or comes from, an address outside
        them, but for this machine and its links. It takes the place of `conclave network allow`, which has nothing to
        write to on NixOS.
      '';
    };

    masterKeyFile = mkOption {
      type = types.nullOr types.str;
      default = null;
      example = "/var/lib/secrets/conclave.master-key";
      description = ''
        The file with the master key: 32 bytes, of the user `conclave` and for nobody else. Without it, and without
        `masterKeyCredential`, the key is beside the data, made at the first start.
      '';
    };

    masterKeyCredential = mkOption {
      type = types.nullOr types.str;
      default = null;
      example = "/var/lib/secrets/conclave.master-key.cred";
      description = ''
        The master key as a credential that systemd opens with the keys of this host, made with
        `systemd-creds encrypt --name=conclave.master-key --with-key=host+tpm2 --tpm2-pcrs= master.key FILE`. Try
        `systemd-creds decrypt` before the key itself is removed: when it does not open, the appliance does not start.
      '';
    };

    provisionFile = mkOption {
      type = types.nullOr types.str;
      default = null;
      example = "/etc/conclave/provision.toml";
      description = ''
        A file by which a new appliance claims itself at its start. It holds no secret, so `environment.etc` may write
        it; the password file that it names must be put there by hand.
      '';
    };
  };

  config = mkIf cfg.enable {
    assertions = [
      {
        assertion = cfg.masterKeyFile == null || cfg.masterKeyCredential == null;
        message = "services.conclave: masterKeyFile and masterKeyCredential are both set; leave one of them out.";
      }
      {
        assertion = cfg.listenAddresses != [ ];
        message = ''services.conclave.listenAddresses is empty: name at least one address, such as "::".'';
      }
      {
        assertion = !(cfg.settings ? data_dir);
        message = "services.conclave.settings.data_dir is always ${dataDirectory}, the only place the sandbox lets the appliance write: leave it out, and mount there what you like.";
      }
      {
        assertion = !(cfg.settings ? admin);
        message = "services.conclave.settings.admin: conclave-admin.socket is always at ${adminSocket}; leave it out.";
      }
      {
        assertion = !(cfg.settings ? https.listen);
        message = "services.conclave.settings.https.listen: systemd opens the sockets; use services.conclave.listenAddresses and services.conclave.port.";
      }
      {
        assertion = !(cfg.settings ? master_key_file);
        message = "services.conclave.settings.master_key_file: use services.conclave.masterKeyFile.";
      }
      {
        assertion = !(cfg.settings ? provision);
        message = "services.conclave.settings.provision: use services.conclave.provisionFile.";
      }
    ]
    ++ map (address: {
      assertion = builtins.match "[0-9.]+|[0-9a-fA-F]*:[0-9a-fA-F:]*:[0-9a-fA-F:.]*" address != null;
      message = ''services.conclave.listenAddresses: "${address}" is no address; write it without port and brackets, such as "192.168.7.2" or "::".'';
    }) cfg.listenAddresses
    ++ map (network: {
      assertion = builtins.match "[0-9a-fA-F:.]+/[0-9]+" network != null;
      message = ''services.conclave.clientNetworks: "${network}" is no network; write address and length, such as "10.20.0.0/16".'';
    }) cfg.clientNetworks
    ++ map (network: {
      assertion = builtins.match ".*/0+" network == null;
      message = ''services.conclave.clientNetworks: "${network}" is everything, and no fence at all; name the networks of your clients.'';
    }) cfg.clientNetworks
    ++ map (name: {
      assertion = hasPrefix "/" files.${name} && !hasPrefix "${builtins.storeDir}/" files.${name};
      message = "services.conclave.${name} is ${files.${name}}: name a file outside ${builtins.storeDir}, which everybody can read, by an absolute path in quotes.";
    }) named
    ++ map (name: {
      assertion = name == "masterKeyCredential" || !any (place: hasPrefix place files.${name}) hidden;
      message = "services.conclave.${name} is ${files.${name}}, which the appliance cannot see from its sandbox; put it elsewhere, such as below /var/lib/secrets.";
    }) named;

    environment.systemPackages = [ cfg.package ];
    environment.etc."conclave/conclave.toml".source = configFile;

    networking.firewall.allowedTCPPorts = optional cfg.openFirewall cfg.port;
    networking.firewall.allowedUDPPorts = optional cfg.openFirewall cfg.port;

    users.groups.conclave = { };
    users.users.conclave = {
      description = "Conclave appliance";
      isSystemUser = true;
      group = "conclave";
      home = dataDirectory;
    };
    systemd.tmpfiles.rules = [ "d ${dataDirectory} 0700 conclave conclave -" ];

    systemd.sockets = sockets;

    systemd.services.conclave = {
      description = "Conclave, private meetings in virtual and augmented reality";
      inherit documentation;
      wantedBy = [ "multi-user.target" ];
      requires = socketUnits;
      after = socketUnits;
      unitConfig.StartLimitIntervalSec = 0;
      # A switch restarts no socket for its own sake, and the old port and the old fence would stay. With these it
      # stops the service with its sockets, and starts them anew.
      restartTriggers = [
        configFile
        (builtins.toJSON sockets)
      ];
      serviceConfig = sandbox // {
        Type = "notify";
        NotifyAccess = "main";
        ExecStart = "${cfg.package}/bin/conclave serve";
        Sockets = socketUnits;
        Restart = "always";
        RestartSec = 1;
        WatchdogSec = 30;
        TimeoutStartSec = 300;
        TimeoutStopSec = 30;
        KillMode = "mixed";
        TasksMax = 512;
      };
    };

    # The instance is the path of the package, so that the unit of the system that runs can look with the binary of the
    # one that is to come.
    systemd.services."conclave-preflight@" = {
      description = "Conclave %I, looking whether it can serve what is there";
      inherit documentation;
      serviceConfig = sandbox // {
        Type = "oneshot";
        ExecStart = "%f/bin/conclave preflight";
        TimeoutStartSec = "infinity";
      };
    };

    # Before anything is stopped: a version that cannot serve what is there is not switched to.
    system.preSwitchChecks.conclave =
      let
        systemctl = "${config.systemd.package}/bin/systemctl";
      in
      ''
        if ${systemctl} --quiet is-active conclave.service; then
          running=$(${systemctl} show --property=ExecStart conclave.service)
          unit=$(${config.systemd.package}/bin/systemd-escape --path \
            --template=conclave-preflight@.service ${cfg.package})
          if [[ $running != *"path=${cfg.package}/bin/conclave "* ]] && ! ${systemctl} start "$unit"; then
            echo "conclave: the new version cannot serve what is there; see journalctl --unit='$unit'" >&2
            exit 1
          fi
        fi
      '';
  };
}

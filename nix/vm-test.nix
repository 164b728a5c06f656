# SPDX-License-Identifier: AGPL-3.0-or-later
# The module on real machines: claimed on the host, met in by two people, and nothing gets past the fence. It is run by
# `nix flake check`; tests/nix/check.sh evaluates its server and reads its script, and runs nothing of it.
let
  person =
    { pkgs, ... }:
    {
      environment.systemPackages = [
        (pkgs.callPackage ./package.nix { })
        pkgs.curl
      ];
    };
in
{
  name = "conclave";

  nodes = {
    server =
      { pkgs, ... }:
      {
        imports = [ ./module.nix ];
        services.conclave = {
          enable = true;
          openFirewall = true;
          # Of the machines of a test; 203.0.113.0/24 is beyond the fence.
          clientNetworks = [ "192.168.1.0/24" ];
          settings.log.level = "debug";
        };
        environment.systemPackages = [ pkgs.tcpdump ];
        virtualisation.memorySize = 2048;
      };
    ada = person;
    bob = person;
    outsider = { };
  };

  testScript =
    { nodes, ... }:
    ''
      ADDRESS = "${nodes.server.networking.primaryIPAddress}"
      NAME = "meet.example.lan"
      URL = f"https://{NAME}/healthz --resolve {NAME}:443:{ADDRESS}"

      start_all()
      server.wait_for_unit("conclave.service")

      with subtest("it is claimed on the host, once"):
          claim = f"conclave setup claim --name {NAME} --network 192.168.1.0/24 --operator"
          server.succeed(f"{claim} olga --kit-file /root/kit.txt")
          server.fail(f"{claim} eve --without-recovery-kit")
          server.succeed("conclave workspace create acme --agreement-accepted-by 'Ada Lovelace'")
          server.succeed("conclave room create --workspace acme lobby")
          root = server.succeed("conclave trust root")
          for machine, name in (ada, "ada"), (bob, "bob"):
              machine.wait_for_unit("multi-user.target")
              machine.succeed(f"cat >/root/root.pem <<'END'\n{root}\nEND")
              password = machine.succeed("umask 077; head -c 24 /dev/urandom | base64 | tee /root/password").strip()
              server.succeed(f"echo {password} | conclave account create -w acme {name} --password-stdin")

      with subtest("healthz over TLS: with the root, and not without"):
          ada.succeed(f"curl -sSf --cacert /root/root.pem {URL}")
          ada.fail(f"curl -sSf {URL}")

      # The service has no other socket than those on port 443, so this sees whatever it sends beyond the fence.
      server.succeed("tcpdump -i any -U -w /root/beyond.pcap 'src port 443 and dst net 203.0.113.0/24' >&2 & sleep 2")
      beyond = "tcpdump -r /root/beyond.pcap 2>/dev/null | grep -q ."

      with subtest("two people sign in and meet, over QUIC and WebTransport"):
          def stay(machine, name, carrier):
              machine.succeed(
                  f"(conclave client --server https://{NAME} --address {ADDRESS} --root /root/root.pem -w acme"
                  f" --user {name} --password-file /root/password --room lobby --carrier {carrier} --pose generated"
                  " --record /root/heard --duration 20s; echo $? >/root/left) >/root/said 2>&1 &"
              )
          stay(ada, "ada", "quic")
          stay(bob, "bob", "webtransport")
          server.wait_until_succeeds("conclave meeting show -w acme lobby | grep -q '^There  *2$'")
          for machine in ada, bob:
              machine.wait_until_succeeds("test -s /root/left")
              print(machine.succeed("cat /root/said"))
              machine.succeed("grep -qx 0 /root/left && test -s /root/heard/poses.jsonl")
          server.succeed("conclave audit verify -w acme")

      with subtest("who knocks while it restarts waits, and is let in"):
          server.succeed("systemctl restart --no-block conclave.service")
          ada.succeed(f"curl -sSf --cacert /root/root.pem {URL}")

      with subtest("it has no network of its own"):
          server.succeed(
              "nsenter --net=/proc/$(systemctl show --property=MainPID --value conclave.service)/ns/net"
              " ip -oneline link | grep -c . | grep -qx 1"
          )

      with subtest("its own probes find no way out, and nothing else that fails"):
          print(server.succeed("conclave doctor"))

      with subtest("nobody beyond the fence gets an answer"):
          server.succeed("ip address add 203.0.113.1/24 dev eth1")
          outsider.succeed("ip address add 203.0.113.7/24 dev eth1")
          outsider.wait_until_succeeds("ping -c 1 203.0.113.1")
          knock = "timeout 5 bash -c '</dev/tcp/203.0.113.1/443'"
          outsider.fail(knock)
          server.fail(beyond)

      with subtest("it was the fence: without it both see an answer"):
          server.succeed("systemctl set-property --runtime conclave-https.socket IPAddressAllow=any")
          outsider.succeed(knock)
          server.wait_until_succeeds(beyond)
    '';
}

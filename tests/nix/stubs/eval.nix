# SPDX-License-Identifier: AGPL-3.0-or-later
# Evaluates one module with what somebody writes into their configuration: `errors` is what NixOS would refuse, wrong
# types and failed assertions, and `config` what it would be handed.
{
  lib,
  pkgs,
  module,
  written,
}:
let
  # The options of NixOS that the module may define, so that a slip of the pen is not taken for one.
  known = {
    assertions = "list";
    environment.etc = "set";
    environment.systemPackages = "list";
    networking.firewall.allowedTCPPorts = "list";
    networking.firewall.allowedUDPPorts = "list";
    system.preSwitchChecks = "set";
    systemd.services = "set";
    systemd.sockets = "set";
    systemd.tmpfiles.rules = "list";
    users.groups = "set";
    users.users = "set";
  };
  misplaced =
    path: known: value:
    if builtins.isString known then
      (if builtins.typeOf value == known then [ ] else [ "${path} is no ${known}" ])
    else
      builtins.concatMap (
        name:
        if known ? ${name} then
          misplaced "${path}.${name}" known.${name} value.${name}
        else
          [ "The option `${path}.${name}' does not exist." ]
      ) (builtins.attrNames value);

  evaluated = module {
    inherit lib pkgs;
    config = options.value // {
      systemd.package = systemd;
    };
  };
  systemd = "${builtins.storeDir}/00000000000000000000000000000000-systemd";

  # Each option with what was written, or with its default.
  options = walk "" evaluated.options written;
  walk =
    path: tree: written:
    let
      each = builtins.mapAttrs (
        name: option:
        let
          at = "${path}.${name}";
          value = written.${name} or (option.default or (throw "${at} is used but not defined"));
        in
        if option._type or "" != "option" then
          walk at option (written.${name} or { })
        else
          {
            inherit value;
            errors = lib.optional (
              !option.type.check value
            ) "A definition for option `${at}' is not of type `${option.type.name}'.";
          }
      ) tree;
      unknown = builtins.filter (name: !tree ? ${name}) (builtins.attrNames written);
    in
    {
      value = builtins.mapAttrs (_: one: one.value) each;
      errors =
        map (name: "The option `${path}.${name}' does not exist.") unknown
        ++ builtins.concatMap (one: one.errors) (builtins.attrValues each);
    };

  config =
    if evaluated.config._type or "" != "if" then
      evaluated.config
    else if evaluated.config.condition then
      evaluated.config.content
    else
      { };
  failed = builtins.filter (one: !one.assertion) (config.assertions or [ ]);
in
{
  inherit config systemd;
  # As there: assertions are looked at when the types hold.
  errors =
    if options.errors != [ ] then
      options.errors
    else
      misplaced "" known config ++ map (one: one.message) failed;
}

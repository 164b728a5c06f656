# SPDX-License-Identifier: AGPL-3.0-or-later
# The little of nixpkgs' `lib` that nix/ uses, by the same names and with the same meaning. A function that is missing
# here is an error, so nothing is used that nobody looked up.
let
  lib = {
    any = builtins.any;
    hasInfix =
      part: text:
      let
        from = builtins.stringLength part;
        to = builtins.stringLength text - from;
      in
      builtins.any (at: builtins.substring at from text == part) (
        builtins.genList (at: at) (if to < 0 then 0 else to + 1)
      );
    hasPrefix = part: text: builtins.substring 0 (builtins.stringLength part) text == part;
    optional = condition: value: if condition then [ value ] else [ ];
    optionalAttrs = condition: attributes: if condition then attributes else { };
    optionalString = condition: text: if condition then text else "";
    genAttrs =
      names: make:
      builtins.listToAttrs (
        map (name: {
          inherit name;
          value = make name;
        }) names
      );
    recursiveUpdate =
      old: new:
      if builtins.isAttrs old && builtins.isAttrs new then
        old
        // builtins.mapAttrs (
          name: value: if old ? ${name} then lib.recursiveUpdate old.${name} value else value
        ) new
      else
        new;
    importTOML = file: builtins.fromTOML (builtins.readFile file);

    mkIf = condition: content: {
      _type = "if";
      inherit condition content;
    };
    mkOption = option: option // { _type = "option"; };
    mkEnableOption =
      what:
      lib.mkOption {
        type = lib.types.bool;
        default = false;
        description = "Whether to enable ${what}.";
      };
    literalExpression = text: { inherit text; };

    types =
      let
        type = name: check: { inherit name check; };
      in
      {
        bool = type "boolean" builtins.isBool;
        str = type "string" builtins.isString;
        port = type "port, 0 to 65535" (value: builtins.isInt value && value >= 0 && value <= 65535);
        # As there: a derivation, or the path of one.
        package = type "package" (
          value: value.type or "" == "derivation" || builtins.isString value && lib.hasPrefix builtins.storeDir value
        );
        nullOr = of: type "null or ${of.name}" (value: value == null || of.check value);
        listOf = of: type "list of ${of.name}" (value: builtins.isList value && builtins.all of.check value);
      };

    licenses.agpl3Plus.spdxId = "AGPL-3.0-or-later";
    platforms.linux = [ "linux" ];

    # Sets of files are lists of paths here; nothing is copied. As there, a path that is not there is an error.
    fileset = {
      unions = map (path: if builtins.pathExists path then path else throw "${toString path} is not there");
      maybeMissing = path: [ path ];
      difference = files: without: { inherit files without; };
      toSource = { root, fileset }: { root = toString root; } // builtins.mapAttrs (_: map toString) fileset;
    };
  };
in
lib

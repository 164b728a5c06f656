# SPDX-License-Identifier: AGPL-3.0-or-later
# To be sourced by appliance.sh: upgrades that do not go well, and ways back.

not_installs() { ! installs "$1"; }
dpkg_state() { IN dpkg-query -W -f '${Status} ${Version}' conclave; }

# The newest migration of the files fails, but only for who looks at copies of them.
bad_upgrade() {
    drop_in conclave-preflight@.service '[Service]' Environment=CONCLAVE_TEST_BAD_MIGRATION=1
    served_by=$(main_pid)
    check "an upgrade that fails its preflight fails"   not_installs "$bad"
    check "it says what the preflight said"             said "a_table_that_is_not_there"
    check "it says that the old one serves"             said "$new_version serves on"
    check "it says how to try again"                    said "dpkg --configure conclave"
    check "it says how to go back"                      said "conclave=$new_version"
    check "dpkg knows that it is not done"              test "$(dpkg_state)" = "install ok half-configured $bad_version"
    check "the old one served all the time"             test "$(main_pid)" = "$served_by"
    check "it is kept"                                  test "$(serving)" = "kept/$new_version"
    check "it serves"                                   signs_in
}

after_a_reboot() {
    container_reboot
    container_network
    check "the old one serves after a reboot"           within 10 signs_in
    check "it is the kept one"                          process_is "kept/$new_version"
    served_by=$(main_pid)
    check "trying again fails again"                    not IN dpkg --configure conclave
    check "the old one serves still"                    test "$(main_pid)" = "$served_by"
}

back_and_no_further() {
    check "going back to the old one"                   installs "$new"
    check "nothing was restarted for it"                test "$(main_pid)" = "$served_by"
    check "dpkg is content"                             test "$(dpkg_state)" = "install ok installed $new_version"
    check "nothing is kept any more"                    test "$(serving)" = "$new_version" -a ! -e "$root/usr/lib/conclave/kept"
    check "an older one is refused"                     not_installs "$old"
    check "with the reason"                             said "$old_version is older than $new_version"
    check "with the way out"                            said "backup"
    check "dpkg is content still"                       test "$(dpkg_state)" = "install ok installed $new_version"
    check "nothing was restarted for that either"       test "$(main_pid)" = "$served_by"
    check "the link is where it was"                    test "$(serving)" = "$new_version"
}

# A version that passes its preflight, migrates the files and then does not start: the old one comes back by itself, with
# the files as they were.
upgrade_that_does_not_come_up() {
    drop_in_gone conclave-preflight@.service
    drop_in conclave.service '[Service]' Environment=CONCLAVE_TEST_GOOD_MIGRATION=1 Environment=CONCLAVE_TEST_ENDS_BEFORE_READY=1
    drop_in conclave-preflight@.service '[Service]' Environment=CONCLAVE_TEST_GOOD_MIGRATION=1
    check "an upgrade that does not come up fails"      not_installs "$bad"
    check "it says so"                                  said "$bad_version does not come up"
    check "it says that the old one serves"             said "$new_version serves again"
    check "it serves, with the files as they were"      within 10 signs_in
    check "nothing of them is left over"                not IN sh -c 'ls /var/lib/conclave/*.before'
    check "it is the kept one"                          test "$(serving)" = "kept/$new_version"
    drop_in_gone conclave.service
    drop_in_gone conclave-preflight@.service
}

# What stood in the way is gone, and the same package goes on.
mended_upgrade() {
    check "once mended it goes on"                      IN dpkg --configure conclave
    check "and serves"                                  test "$(serving)" = "$bad_version"
    check "nothing is kept of the old one"              not IN test -e /usr/lib/conclave/kept
    check "people sign in"                              within 5 signs_in
}

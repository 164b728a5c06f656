// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The schedule and its members over bad links and lost carriers, seeded, in virtual time.
//!
//! `world` is the meeting, `traffic` what is sealed and opened in it; both check the promises of `docs/protocol.md` at
//! every step. The tests here say what happens. A seed that fails is in the output, and fails again.

pub(crate) use link::Seeded;
use people::Quality;
use world::World;

use crate::core::keys::epoch::reason::Removal;

mod link;

mod people;

mod traffic;

mod world;

/// Steps of a run with everything in it.
const STEPS: usize = 1_500;

#[test]
fn anything_in_any_order_over_bad_links_keeps_every_promise() {
    for seed in 0..4 {
        let mut world = World::new(seed);
        for quality in [Quality::Good, Quality::Slow, Quality::Bad] {
            world.join(quality);
            world.join(quality);
        }
        for _ in 0..STEPS {
            world.run_for(1, 200);
            match world.below(100) {
                0..20 if world.people() < 12 => {
                    let quality = match world.below(4) {
                        0..2 => Quality::Good,
                        2 => Quality::Slow,
                        _ => Quality::Bad,
                    };
                    world.join(quality);
                }
                20..22 => world.remove_somebody(Removal::Left),
                22..24 => world.remove_somebody(Removal::Kicked),
                24..28 => world.rotate(),
                28..33 => world.lose_a_carrier(),
                33..40 if world.is_announced() => world.remove_somebody(Removal::Kicked),
                _ => {}
            }
        }
        let seen = world.finish();
        println!("seed {seed}: {seen:?}");
        assert!(seen.opened > 5_000 && seen.events > 1_000 && seen.switched > 100 && seen.shut_out > 100, "{seen:?}");
        assert!(seen.came_back > 15 && seen.given_up > 0 && seen.barriers > 100, "{seen:?}");
        assert!(
            seen.discarded > 10 && seen.tried_with_old_keys > 1_000 && seen.tried_with_new_keys > 1_000,
            "{seen:?}"
        );
    }
}

#[test]
fn a_member_below_400_ms_loses_no_frame_to_a_rotation() {
    for seed in 100..104 {
        let mut world = World::new(seed);
        (0..5).for_each(|_| world.join(Quality::Good));
        (0..2).for_each(|_| world.join(Quality::Slow));
        world.join(Quality::Bad);
        for _ in 0..STEPS / 5 {
            world.run_for(1, 600);
            world.rotate();
        }
        let seen = world.finish();
        println!("seed {seed}: {seen:?}");
        assert!(seen.opened > 15_000 && seen.events > 5_000 && seen.switched > 100, "{seen:?}");
    }
}

#[test]
fn who_loses_its_carrier_comes_back_to_all_events_whatever_rotates_meanwhile() {
    for seed in 400..404 {
        let mut world = World::new(seed);
        (0..4).for_each(|_| world.join(Quality::Good));
        (0..2).for_each(|_| world.join(Quality::Slow));
        for _ in 0..STEPS / 5 {
            world.run_for(1, 600);
            match world.below(7) {
                0..2 => world.lose_a_carrier(),
                2 if world.people() < 8 => world.join(Quality::Good),
                3 if world.is_announced() && world.people() > 4 => world.remove_somebody(Removal::Kicked),
                _ => world.rotate(),
            }
        }
        let seen = world.finish();
        println!("seed {seed}: {seen:?}");
        assert!(seen.came_back > 15 && seen.events > 1_000 && seen.parked > 100, "{seen:?}");
    }
}

#[test]
fn announce_then_kick_discards_and_shuts_out_each_time() {
    for seed in 500..502 {
        let mut world = World::new(seed);
        (0..6).for_each(|_| world.join(Quality::Good));
        world.run_for(2_000, 2_000);
        for _ in 0..60 {
            world.rotate();
            while !world.is_announced() {
                world.run_for(1, 20);
            }
            world.remove_somebody(Removal::Kicked);
            world.run_for(2_000, 3_000);
            world.join(Quality::Good);
            world.run_for(1_500, 1_500);
        }
        let seen = world.finish();
        println!("seed {seed}: {seen:?}");
        assert!(seen.discarded == 60 && seen.shut_out == 60 && seen.put_off == 0, "{seen:?}");
    }
}

#[test]
fn two_hundred_who_join_in_a_second_cost_a_few_epochs() {
    for seed in 200..202 {
        let mut world = World::new(seed);
        world.speak_at_most(4);
        for _ in 0..200 {
            world.run_for(5, 5);
            world.join(Quality::Good);
        }
        world.run_for(2_000, 2_000);
        let everybody = world.people();
        let seen = world.finish();
        println!("seed {seed}: {seen:?}");
        assert!(everybody == 200 && (2..=8).contains(&seen.switched), "{seen:?}");
    }
}

#[test]
fn everybody_leaves_one_by_one_and_each_is_shut_out() {
    for seed in 300..302 {
        let mut world = World::new(seed);
        (0..40).for_each(|_| world.join(Quality::Good));
        world.speak_at_most(4);
        world.run_for(2_000, 2_000);
        while world.people() > 0 {
            world.run_for(20, 150);
            world.remove_somebody(Removal::Left);
        }
        world.run_for(5_000, 5_000);
        let seen = world.finish();
        println!("seed {seed}: {seen:?}");
        assert!(seen.shut_out >= 20 && seen.put_off > 0, "{seen:?}");
    }
}

// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The schedule and its members over bad links, seeded, in virtual time.
//!
//! `world` is the meeting and checks the promises of `docs/protocol.md` at every step; the tests here say what happens
//! in it. A seed that fails is in the output, and fails again.

pub(super) use link::Seeded;
use world::{Quality, World};

use crate::core::keys::epoch::reason::Removal;

mod link;

mod world;

/// Steps of a run with everything in it.
const STEPS: usize = 1_500;

#[test]
fn anything_in_any_order_over_bad_links_keeps_every_promise() {
    for seed in 0..4 {
        let mut world = World::new(seed);
        for _ in 0..3 {
            world.join(Quality::Good);
            world.join(Quality::Bad);
        }
        for _ in 0..STEPS {
            world.run_for(1, 200);
            match world.below(100) {
                0..20 if world.people() < 12 => {
                    let quality = if world.below(2) == 0 { Quality::Good } else { Quality::Bad };
                    world.join(quality);
                }
                20..22 => world.remove_somebody(Removal::Left),
                22..24 => world.remove_somebody(Removal::Kicked),
                24..26 => world.remove_somebody(Removal::Lost),
                26..30 => world.rotate(),
                30..33 => world.replace_somebody(),
                33..40 if world.is_announced() => world.remove_somebody(Removal::Kicked),
                _ => {}
            }
        }
        let seen = world.finish();
        println!("seed {seed}: {seen:?}");
        assert!(seen.opened > 5_000 && seen.switched > 100 && seen.shut_out > 100, "{seen:?}");
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
        (0..6).for_each(|_| world.join(Quality::Good));
        (0..2).for_each(|_| world.join(Quality::Bad));
        for _ in 0..STEPS / 4 {
            world.run_for(1, 600);
            world.rotate();
        }
        let seen = world.finish();
        println!("seed {seed}: {seen:?}");
        assert!(seen.opened > 20_000 && seen.switched > 150, "{seen:?}");
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

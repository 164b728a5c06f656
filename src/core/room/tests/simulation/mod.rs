// SPDX-License-Identifier: AGPL-3.0-or-later
//! A room and its people over bad links, seeded, in virtual time.
//!
//! `world` does what happens, `carriage` is what is on its way, `model` knows what may be handed to whom and what must be: it is told what people did and
//! what the room answered, and looks at nothing inside the room. The tests here say what happens. A seed that fails is
//! in the output, and fails again.

use world::World;

mod carriage;

mod model;

mod world;

/// Steps of a run with everything in it.
const STEPS: usize = 6_000;

#[test]
fn anything_in_any_order_hands_everybody_what_is_theirs_and_nothing_else() {
    for seed in 0..6 {
        let mut world = World::new(seed);
        (0..4).for_each(|_| world.join());
        for _ in 0..STEPS {
            world.run_for(1, 30);
            match world.below(100) {
                0..2 if world.people() < 12 => world.join(),
                2 if world.below(2) == 0 => {
                    let kick = world.below(2) == 0;
                    world.remove(kick);
                }
                3 | 4 => world.lose_a_carrier(),
                5..8 => world.come_back(),
                8 => world.rotate(),
                9 => world.mute(),
                10 if world.below(4) == 0 => world.switch_voices(),
                19..24 => world.forge(),
                24..30 => world.share(),
                30..55 => world.say(),
                _ => world.speak(),
            }
        }
        let seen = world.finish();
        println!("seed {seed}: {seen:?}");
        assert!(seen.voices > 1_500 && seen.poses > 10_000 && seen.events > 1_000 && seen.pictures > 500, "{seen:?}");
        assert!(seen.silenced > 100 && seen.forged > 100 && seen.repeated > 20 && seen.withheld > 10, "{seen:?}");
        assert!(seen.came_back > 20 && seen.given_up > 0 && seen.removed > 20, "{seen:?}");
    }
}

#[test]
fn who_sends_on_after_it_was_removed_is_handed_on_to_nobody() {
    for seed in 100..104 {
        let mut world = World::new(seed);
        (0..6).for_each(|_| world.join());
        world.run_for(3_000, 3_000);
        for _ in 0..40 {
            // Under way while they are removed.
            (0..10).for_each(|_| world.speak());
            world.remove(true);
            world.run_for(20, 400);
            world.join();
            world.run_for(1_500, 1_500);
        }
        let seen = world.finish();
        println!("seed {seed}: {seen:?}");
        assert!(seen.removed > 40 && seen.too_late > 20 && seen.voices > 500, "{seen:?}");
    }
}

#[test]
fn events_are_in_order_and_whole_over_any_number_of_carriers() {
    for seed in 200..204 {
        let mut world = World::new(seed);
        (0..5).for_each(|_| world.join());
        world.run_for(3_000, 3_000);
        for _ in 0..1_000 {
            world.say();
            world.run_for(1, 60);
            match world.below(10) {
                0 => world.lose_a_carrier(),
                1 | 2 => world.come_back(),
                3 => world.rotate(),
                4 | 5 if world.people() < 6 => world.join(),
                _ => {}
            }
        }
        let seen = world.finish();
        println!("seed {seed}: {seen:?}");
        assert!(seen.came_back > 15 && seen.events > 300, "{seen:?}");
    }
}

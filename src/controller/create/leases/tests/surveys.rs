//! Surveys beside assignments and releases.

use std::pin::pin;

use super::*;

#[tokio::test]
async fn a_survey_finds_who_holds_and_who_only_claims() {
    let store = Arc::<Memory>::default();
    store.put("/env/leases/db.4", text(&pod(0)).as_bytes());
    store.put(&format!("/env/leases/db.of-{}", uid(0)), b"4@here");
    store.put(&format!("/env/leases/db.of-{}", uid(1)), b"5@here");
    store.put("/env/db.7", b"a secret");
    let leases = leases(&store);
    let survey = leases.survey().await.unwrap();
    assert_eq!(survey.holders, BTreeSet::from([pod(0)]));
    assert_eq!(survey.claimants, BTreeSet::from([uid(1)]));
    // What a pod claims is its own to have.
    assert_eq!(assign(&leases, &pod(2), 4..=9).await, Ok(6));
    assert_eq!(assign(&leases, &pod(1), 4..=9).await, Ok(5));
    release(&leases, &pod(0)).await;
    release(&leases, &pod(1)).await;
    assert_eq!(assign(&leases, &pod(3), 4..=9).await, Ok(4));
}

#[tokio::test]
async fn a_pod_that_holds_an_index_and_claims_another_gets_that_one_too_or_claims_what_it_holds() {
    // A creator found index 3 taken, deleted the claim after another had succeeded, claimed 5, and was killed.
    for (of_another, expected) in [(false, 5), (true, 3)] {
        let store = Arc::<Memory>::default();
        store.put("/env/leases/db.3", text(&pod(0)).as_bytes());
        store.put(&format!("/env/leases/db.of-{}", uid(0)), b"5@here");
        if of_another {
            store.put("/env/leases/db.5", text(&pod(1)).as_bytes());
        }
        let leases = leases(&store);
        leases.survey().await.unwrap();
        assert_eq!(assign(&leases, &pod(0), 0..=9).await, Ok(expected));
        let texts = store.texts();
        assert_eq!(texts[&format!("/env/leases/db.of-{}", uid(0))], format!("{expected}@here"));
        assert_eq!(texts[&format!("/env/leases/db.{expected}")], text(&pod(0)));
    }
}

#[tokio::test]
async fn a_claim_of_a_pod_that_is_gone_is_deleted() {
    let store = Arc::<Memory>::default();
    store.put(&format!("/env/leases/db.of-{}", uid(1)), b"0@here");
    let leases = leases(&store);
    leases.survey().await.unwrap();
    assert_eq!(release(&leases, &pod(1)).await, BTreeSet::from([db()]));
    assert!(store.texts().is_empty());
}

#[tokio::test]
async fn only_the_scope_is_surveyed_and_what_lies_outside_stays_known() {
    let store = Arc::<Memory>::default();
    store.put("/a/leases/db.0", text(&pod(0)).as_bytes());
    store.put("/b/leases/db.0", text(&pod(1)).as_bytes());
    let leases =
        Leases::new(Arc::clone(&store) as Arc<dyn Store>, vec!["/a/".to_owned()], CLUSTER.to_owned());
    assert_eq!(assign(&leases, &pod(2), 0..=9).await, Ok(0));
    let survey = leases.survey().await.unwrap();
    assert_eq!(survey.holders, BTreeSet::from([pod(0), pod(2)]));
    assert_eq!(leases.held_by(&uid(2)), [(db(), 0)]);
}

#[tokio::test]
async fn what_cannot_be_read_is_taken_and_told_and_a_store_that_is_away_changes_nothing() {
    let store = Arc::<Memory>::default();
    store.put("/env/leases/db.0", text(&pod(0)).as_bytes());
    store.put("/env/leases/db.1", text(&pod(1)).as_bytes());
    let leases = leases(&store);
    leases.survey().await.unwrap();
    store.fail("/env/leases/db.0", unavailable);
    assert!(leases.survey().await.is_err());
    assert_eq!(leases.held_by(&uid(0)), [(db(), 0)]);
    store.fail("/env/leases/db.0", |path| StoreError::denied(path, "no policy"));
    let survey = leases.survey().await.unwrap();
    assert_eq!((survey.unreadable.len(), survey.holders), (1, BTreeSet::from([pod(1)])));
    assert_eq!(assign(&leases, &pod(2), 0..=9).await, Ok(2));
}

#[tokio::test]
async fn a_pod_whose_record_was_deleted_gets_the_same_index_or_is_told() {
    let store = Arc::<Memory>::default();
    for keeps_claim in [true, false] {
        let leases = leases(&store);
        for number in 0..2 {
            assign(&leases, &pod(number), 0..=9).await.unwrap();
        }
        let claim = format!("/env/leases/db.of-{}", uid(0));
        let delete = || {
            store.remove("/env/leases/db.0");
            if !keeps_claim {
                store.remove(&claim);
            }
        };
        delete();
        assert!(leases.survey().await.unwrap().claimants.contains(&uid(0)));
        assert_eq!(leases.held_by(&uid(0)), []);
        // Nobody else gets it meanwhile.
        assert_eq!(assign(&leases, &pod(5), 0..=9).await, Ok(2));
        assert_eq!(assign(&leases, &pod(0), 0..=9).await, Ok(0));
        delete();
        store.put("/env/leases/db.0", text(&pod(8)).as_bytes());
        leases.survey().await.unwrap();
        let lost = assign(&leases, &pod(0), 0..=9).await.unwrap_err();
        let holder = format!("pod {}", text(&pod(8)));
        assert_eq!(lost, LeaseError::Lost { series: db(), index: 0, holder });
        for number in [0, 1, 5, 8] {
            release(&leases, &pod(number)).await;
        }
        assert!(store.texts().is_empty(), "{:?}", store.texts());
    }
}

/// Polls a survey so often, does something, and lets the survey end.
async fn meanwhile<T>(leases: &Leases, polls: usize, what: impl Future<Output = T>) -> T {
    let mut survey = pin!(leases.survey());
    for _ in 0..polls {
        if futures::poll!(&mut survey).is_ready() {
            return what.await;
        }
    }
    let done = what.await;
    survey.await.unwrap();
    done
}

#[tokio::test]
async fn what_happens_during_a_survey_is_known_after_it() {
    for polls in 0..8 {
        let store = Arc::new(Memory::slow());
        let leases = leases(&store);
        for number in 0..3 {
            assign(&leases, &pod(number), 0..=9).await.unwrap();
        }
        let index = meanwhile(&leases, polls, async {
            release(&leases, &pod(1)).await;
            let index = assign(&leases, &pod(3), 0..=9).await.unwrap();
            assign(&leases, &pod(4), 0..=9).await.unwrap();
            index
        });
        assert_eq!(index.await, 1, "{polls}");
        assert_eq!(leases.held_by(&uid(1)), [], "{polls}");
        assert_eq!(leases.held_by(&uid(3)), [(db(), 1)], "{polls}");
        assert_eq!(leases.held_by(&uid(4)), [(db(), 3)], "{polls}");
        assert_eq!(leases.uses(), [(db(), Use { held: 4, reserved: 0 })], "{polls}");
        let before = store.texts();
        for number in [0, 2, 3, 4] {
            assign(&leases, &pod(number), 0..=9).await.unwrap();
        }
        assert_eq!(store.texts(), before, "{polls}");
        for number in [0, 2, 3, 4] {
            release(&leases, &pod(number)).await;
        }
        assert!(store.texts().is_empty() && leases.uses().is_empty(), "{polls}");
    }
}

#[tokio::test]
async fn an_assignment_on_its_way_outlives_a_survey() {
    for polls in 0..6 {
        let store = Arc::new(Memory::slow());
        let leases = leases(&store);
        let (one, two) = (pod(0), pod(1));
        let mut assignment = pin!(assign(&leases, &one, 0..=9));
        let mut done = None;
        for _ in 0..polls {
            if let std::task::Poll::Ready(index) = futures::poll!(&mut assignment) {
                done = Some(index);
                break;
            }
        }
        leases.survey().await.unwrap();
        assert_eq!(assign(&leases, &two, 0..=9).await, Ok(i32::from(polls > 0)), "{polls}");
        let index = match done {
            Some(index) => index,
            None => assignment.await,
        };
        assert_eq!(index, Ok(i32::from(polls == 0)), "{polls}");
    }
}

#[tokio::test]
async fn a_survey_that_is_given_up_is_none() {
    let store = Arc::new(Memory::slow());
    let leases = leases(&store);
    {
        let mut survey = pin!(leases.survey());
        assert!(futures::poll!(&mut survey).is_pending());
    }
    assign(&leases, &pod(0), 0..=9).await.unwrap();
    assert_eq!(leases.survey().await.unwrap().holders, BTreeSet::from([pod(0)]));
}

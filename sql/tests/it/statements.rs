//! Every statement of the crate suits the schema.

use crate::place::Place;

#[tokio::test]
async fn every_statement_can_be_prepared() {
    let place = Place::new().await;
    let (mut n_statements, mut wrong) = (0, Vec::new());

    for (name, text) in skein_sql::statements() {
        n_statements += 1;
        if let Err(error) = place.db.prepare(text).await {
            let error = error.as_db_error().expect("the connection stays").to_string();
            wrong.push(format!("{name}: {error}"));
        }
    }

    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(n_statements > 50, "{n_statements}");
}

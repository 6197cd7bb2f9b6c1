//! What can run a statement: a connection or a transaction, pooled or not.
//!
//! The pool's own trait of this kind leaves out connections that are in no pool, which the
//! listener, the duties and the upkeep have; so here is one over all of them.

use std::future::Future;

use deadpool_postgres::ClientWrapper;
use tokio_postgres::{Error, Row, Statement, ToStatement, types::ToSql};

use crate::Db;

type Params<'a> = &'a [&'a (dyn ToSql + Sync)];

/// A connection or a transaction.
pub trait GenericClient: Sync {
    /// Runs a statement and returns how many rows it touched.
    fn execute<T>(
        &self,
        statement: &T,
        params: Params<'_>,
    ) -> impl Future<Output = Result<u64, Error>> + Send
    where
        T: ?Sized + ToStatement + Sync;

    /// Runs a statement and returns its rows.
    fn query<T>(
        &self,
        statement: &T,
        params: Params<'_>,
    ) -> impl Future<Output = Result<Vec<Row>, Error>> + Send
    where
        T: ?Sized + ToStatement + Sync;

    /// Runs a statement that returns one row.
    fn query_one<T>(
        &self,
        statement: &T,
        params: Params<'_>,
    ) -> impl Future<Output = Result<Row, Error>> + Send
    where
        T: ?Sized + ToStatement + Sync;

    /// Runs a statement that returns at most one row.
    fn query_opt<T>(
        &self,
        statement: &T,
        params: Params<'_>,
    ) -> impl Future<Output = Result<Option<Row>, Error>> + Send
    where
        T: ?Sized + ToStatement + Sync;

    /// Runs text without parameters, in one implicit transaction unless one is open.
    fn batch_execute(&self, text: &str) -> impl Future<Output = Result<(), Error>> + Send;

    /// Prepares a statement, once per pooled connection.
    fn prepare_cached(&self, text: &str) -> impl Future<Output = Result<Statement, Error>> + Send;
}

/// Implements the trait by the methods of the same names of what the type derefs to.
macro_rules! generic_client {
    ($($type:ty => $inner:ty, $prepare:path;)+) => {$(
        impl GenericClient for $type {
            async fn execute<T>(&self, statement: &T, params: Params<'_>) -> Result<u64, Error>
            where
                T: ?Sized + ToStatement + Sync,
            {
                <$inner>::execute(self, statement, params).await
            }

            async fn query<T>(&self, statement: &T, params: Params<'_>) -> Result<Vec<Row>, Error>
            where
                T: ?Sized + ToStatement + Sync,
            {
                <$inner>::query(self, statement, params).await
            }

            async fn query_one<T>(&self, statement: &T, params: Params<'_>) -> Result<Row, Error>
            where
                T: ?Sized + ToStatement + Sync,
            {
                <$inner>::query_one(self, statement, params).await
            }

            async fn query_opt<T>(
                &self,
                statement: &T,
                params: Params<'_>,
            ) -> Result<Option<Row>, Error>
            where
                T: ?Sized + ToStatement + Sync,
            {
                <$inner>::query_opt(self, statement, params).await
            }

            async fn batch_execute(&self, text: &str) -> Result<(), Error> {
                <$inner>::batch_execute(self, text).await
            }

            async fn prepare_cached(&self, text: &str) -> Result<Statement, Error> {
                $prepare(self, text).await
            }
        }
    )+};
}

generic_client! {
    tokio_postgres::Client => tokio_postgres::Client, tokio_postgres::Client::prepare;
    tokio_postgres::Transaction<'_> =>
        tokio_postgres::Transaction<'_>, tokio_postgres::Transaction::prepare;
    ClientWrapper => tokio_postgres::Client, ClientWrapper::prepare_cached;
    Db => tokio_postgres::Client, ClientWrapper::prepare_cached;
    deadpool_postgres::Transaction<'_> =>
        tokio_postgres::Transaction<'_>, deadpool_postgres::Transaction::prepare_cached;
}

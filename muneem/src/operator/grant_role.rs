//! `muneem grant-role`: how the first admin of a deployment comes to be.

use crate::config::Config;
use crate::serve::connect_postgres;
use anyhow::{Context, bail};
use clap::Args;
use platform::audit::Author;
use platform::identity::{AccessChanges, People, Phone, PhoneVault, Role};
use std::process::ExitCode;

#[derive(Args)]
pub struct GrantRoleOptions {
    /// The phone number with its country code, such as +919000000001.
    #[arg(long)]
    phone: String,
    /// user, host, agency or admin.
    #[arg(long)]
    role: String,
    /// Make the account when nobody has signed in with this number yet. Without it an unknown number is refused, so
    /// that a mistyped one gets no rights.
    #[arg(long)]
    create: bool,
}

/// # Errors
/// When the database cannot be reached, an option is none, or nobody has signed in with the number.
pub async fn grant_role(config: Config, options: &GrantRoleOptions) -> anyhow::Result<ExitCode> {
    let config = config.with_secrets()?;
    let phone: Phone = options.phone.parse().ok().context("--phone is a number such as +919000000001")?;
    let role: Role = options.role.parse().ok().context("--role is user, host, agency or admin")?;
    let pool = connect_postgres(&config).await?;
    platform::MIGRATOR.run(&pool).await.context("the database cannot be migrated")?;
    let (pepper, sealing_key) = config.phone_keys()?;
    let people = People::new(pool, PhoneVault::new(pepper, sealing_key), AccessChanges::default());
    let now = platform::clock::now();
    let person = match people.by_phone(&phone).await? {
        Some(person) => person,
        None if options.create => people.ensure(&phone, now).await?.id,
        None => bail!(
            "nobody has signed in with {} yet; sign in once, or add --create to make the account",
            phone.as_str()
        ),
    };
    people.grant_role(person, role, &Author::operator(), now).await?;
    crate::out!("{person} is {} now; it takes effect at the next request", options.role);
    Ok(ExitCode::SUCCESS)
}
